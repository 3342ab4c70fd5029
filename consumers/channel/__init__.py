"""What passes between a worker and its supervisor: messages, the heartbeat file, the lock that reports a death."""
