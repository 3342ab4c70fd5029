"""Running a drill: from a command to a plan, through its phases, to its final event."""
