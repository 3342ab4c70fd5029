"""The ground floor: what every role may import. It imports nothing of ours from above it."""
