"""The benchmark of components: tasks, and what judges scores of heads and MLPs."""
