"""Products that change while the system serves: from the topic `catalogue` into the model of every worker.

`products` (a record as a product), `store` (the file of the host), `follower` (from the topic into the file, one
process a host), `rows` (the file as a worker reads it), `changes` (from the file into the model), `known`
(the file as training reads it). docs/adr/0014.
"""
