"""From a batch to Kafka: answers and offsets in one transaction or at least once, and replies."""
