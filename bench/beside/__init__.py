"""Comparisons: the raw limit, Standfast and peers in turn on the same requests, in one run."""
