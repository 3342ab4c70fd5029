"""How good answers are, as the papers measure it."""
