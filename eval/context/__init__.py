"""The context benchmark: data, methods, judges, tables."""
