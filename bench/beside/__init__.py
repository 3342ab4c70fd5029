"""Side by side: the raw limit, Standfast and peers in turn on the same work in one run."""
