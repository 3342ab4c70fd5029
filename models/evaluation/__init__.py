"""Measures of ranking quality, as the papers define them."""
