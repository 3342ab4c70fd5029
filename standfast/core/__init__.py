"""The lowest layer, which every role may import; it imports nothing of this project from outside itself."""
