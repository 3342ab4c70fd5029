"""Worker processes that die at a named step, and the list of all steps."""
