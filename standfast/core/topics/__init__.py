"""What is known of a topic: which one it is, and what a host keeps of it in a file."""
