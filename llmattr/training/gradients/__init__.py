"""Per-example gradients: capture, projection, curvature, solvers."""
