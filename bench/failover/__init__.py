"""Faults injected under load: the time until answers come again, and the counts of lost and doubled answers."""
