"""A topic that one process of a host copies into a file, for all workers of the host to read.

`follower` (from the topic into the file), `bulletin` (which file workers read, and whether it is complete), `process`
(the follower as a role). `standfast.core.topics` has what it shares with other files of a topic: `topic_source` (which
topic it is) and `topic_file`.
"""
