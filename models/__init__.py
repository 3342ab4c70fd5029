"""Computation without Kafka: search, recommendation, training, and the registry of model versions."""
