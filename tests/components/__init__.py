"""Tests of the room of components."""
