"""A system with toy models, which starts in a second."""
