"""Tests of dictionaries of features."""
