"""What only compares texts, once for all families."""
