"""Apache Kafka on this machine: fetched and checked, one or three brokers as children, its console tools."""
