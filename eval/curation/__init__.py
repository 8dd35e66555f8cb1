"""Training sets with planted errors, and the signals that find them."""
