"""One page and plots of all results."""
