"""Texts whose sources were marked by hand, and how well splitters find them."""
