"""One registry of models for all hosts of a system: the topic `models`, and one process a host that keeps to it.

Read in this order: `records` (what is on the topic), `known` (what has been read of it), `agreement` (who is right when
topic and folder differ), `host_versions` (what a host does about it), `kafka_wire` (how its records and files travel),
`follower` (the process), `notes` (what it tells the supervisor). docs/adr/0017.
"""
