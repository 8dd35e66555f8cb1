"""Reports: an attribution as a page, as text, as a plot."""
