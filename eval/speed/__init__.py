"""How fast: against peers and the physical limit."""
