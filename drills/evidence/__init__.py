"""The history of a drill's load, and what it proves. Checker, recovery and verdict use neither a clock nor Kafka."""
