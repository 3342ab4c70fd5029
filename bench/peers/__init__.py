"""Other servers of the same model, one peer a file, each with its default settings or those its documentation advises.

Each runs in a process of its own, as `python -m bench.peers.<name> TASK`. All compute with `computing`.
"""
