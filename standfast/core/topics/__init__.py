"""The identity of a topic, and the SQLite file in which a host keeps a topic's contents."""
