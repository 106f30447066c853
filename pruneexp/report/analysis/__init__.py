"""Points, curves, comparisons and sentences from rows."""
