"""From scores of words to sentences, and how good these are."""
