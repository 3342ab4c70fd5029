"""Drills: the system is broken on purpose, watched, healed and judged.

The way of one drill: command (`plan`) -> `catalogue` -> `runner` -> `execution` -> `faults` and `load` -> `evidence`,
`checker` -> `verdict` -> `journal` (the outcome stream) -> `report`.
"""
