"""What one process of the system knows of another: that it lives, what it says, how it ended."""
