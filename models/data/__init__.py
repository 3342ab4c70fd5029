"""Reads a shop's files: products and interactions, with the same rules for ids, numbers and times in all formats."""
