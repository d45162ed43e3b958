"""Change a block world until it looks like a sentence from every side."""
