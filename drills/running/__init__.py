"""How a drill is run: from a command to a plan, through its phases, to its last event."""
