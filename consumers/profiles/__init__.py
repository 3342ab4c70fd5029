"""The users' profiles on a host: one process follows the topic into one file, which all its workers read.

`rows` (a profile as bytes), `source` (which topic it is), `file` and `store` (the file), `bulletin` (what workers are
told of it), `follower` (from the topic into the file); `consumers.requests.histories` reads it.
"""
