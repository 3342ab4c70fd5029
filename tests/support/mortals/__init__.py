"""Processes that die at a named step, and the steps there are."""
