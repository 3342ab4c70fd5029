"""The fault agent: one process a host, which injects and undoes faults there as the drill runner orders.

Read in this order: `messages` (what the runner and the agents write to `drills.orders`), `held_fault` (one fault, with
its lease), `files` (what survives the agent), `agent` (the process).
"""
