"""One file a fault: inject it, prove that it struck, undo it, prove that it is undone."""
