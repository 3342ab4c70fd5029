"""What is said about the proxy between clients and Kafka: its routes, its toxics, and how it is asked."""
