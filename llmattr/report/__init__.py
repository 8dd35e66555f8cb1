"""Attributions for people: text for the terminal, Markdown, an HTML page."""
