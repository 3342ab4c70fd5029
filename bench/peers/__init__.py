"""Others who serve the same model: one peer a file, each with the settings it ships with or its documentation advises.

Run as `python -m bench.peers.<name> TASK`, a process of its own. What each computes is in `computing`, for all alike.
"""
