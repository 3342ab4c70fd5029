"""What a worker and its supervisor tell each other: messages, the heartbeat, the lock that shows a life."""
