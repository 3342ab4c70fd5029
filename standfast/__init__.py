"""Standfast's command line, supervisor and embedded Kafka; `core` is what every role imports."""

__version__ = "0.1.0"
