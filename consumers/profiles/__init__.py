"""The users' profiles on a host: one process copies the topic into one file, which all workers of the host read.

`rows` (a profile as bytes), `store` (the file), `bulletin` (which file workers read, and whether it is complete),
`follower` (from the topic into the file). `consumers.requests.histories` reads the file. `standfast.core.topics` has
what it shares with other files of a topic: `topic_source` (which topic it is) and `topic_file`.
"""
