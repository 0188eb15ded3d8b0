"""The dead-letter journal: what could not be handled is kept whole, in order, and can be run again."""
