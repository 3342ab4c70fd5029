"""The console: pages to watch the system and to start drills, served on this machine."""
