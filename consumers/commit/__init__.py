"""From a computed batch to Kafka: answers and offsets in one transaction or at least once, and named reply topics."""
