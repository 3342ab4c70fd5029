"""The recommendation model: its training, its parts, and how it answers."""
