"""How a drill is run."""
