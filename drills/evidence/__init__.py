"""What a history of requests, answers and faults proves. Pure: no clocks, no Kafka."""
