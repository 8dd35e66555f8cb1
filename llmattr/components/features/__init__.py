"""Dictionaries of features: what stands at a place in a model as a sparse sum of directions, and what that sum lacks."""
