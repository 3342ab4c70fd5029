"""`standfast bench`: one sub-command a file."""
