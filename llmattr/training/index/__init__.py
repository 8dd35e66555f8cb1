"""The index on disk, and the search in it."""
