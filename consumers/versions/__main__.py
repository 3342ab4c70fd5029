"""`python -m consumers.versions`: the follower, as the supervisor starts it.

`python -m consumers.versions join MODEL …` ends once this host serves what the topic names of these models, or as soon
as it is known that the topic names nothing: what a new host does before it would train models of its own.
"""

from __future__ import annotations

import sys

from consumers.following.process import follow
from consumers.versions.follower import VersionFollower
from consumers.versions.joining import join


def main() -> int:
    """Runs the follower; returns the exit code."""
    if sys.argv[1:2] == ["join"]:
        return join(sys.argv[2:])
    return follow(VersionFollower.name, VersionFollower)


if __name__ == "__main__":
    sys.exit(main())
