"""Tables, pages and terminal text of a report."""
