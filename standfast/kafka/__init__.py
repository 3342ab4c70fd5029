"""Apache Kafka on this machine: its jars, an embedded cluster of one or three brokers, and its console tools."""
