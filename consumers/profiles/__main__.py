"""`python -m consumers.profiles`: the follower, as the supervisor starts it."""

from __future__ import annotations

import sys

from consumers.following.process import follow
from consumers.profiles.follower import Follower


def main() -> int:
    """Runs the follower; returns the exit code."""
    return follow(Follower.name, Follower)


if __name__ == "__main__":
    sys.exit(main())
