"""Stability: how far the scores of a method move with what should not matter."""
