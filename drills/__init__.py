"""Drills: the system is broken on purpose, watched, healed and judged.

The way of one drill: command (`plan`) -> `catalogue` -> `runner` -> `execution` -> `intents` -> `faults` and `load` ->
`evidence`, `checker` -> `verdict` -> `journal` (the outcome stream) -> `report`. What a dead runner left: `leftovers`.
"""
