"""Drills: a fault is injected into the running system on purpose, observed under load, undone and judged.

The path of one drill: command (`plan`) -> `catalogue` -> `runner` -> `execution` -> `intents` -> `faults` and `load` ->
`evidence`, `checker` -> `verdict` -> `journal` (the outcome stream) -> `report`. `leftovers` undoes the faults of a
runner that died.
"""
