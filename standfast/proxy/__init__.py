"""The proxy between clients and Kafka (and the schema registry), so that drills can disturb the network without root.

It runs only where `drills.network = true`.
"""
