"""The users' profiles on a host: one process copies the topic into one file, which all workers of the host read.

`rows` (a profile as bytes), `store` (the file), `follower` (from the topic into the file; `consumers.following` has
what it shares with the catalogue's). `consumers.requests.histories` reads the file.
"""
