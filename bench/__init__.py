"""How fast, measured on the running system through its topics, as any caller would see it: `standfast bench`."""
