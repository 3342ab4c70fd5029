"""`python -m consumers.catalogue`: the follower, as the supervisor starts it."""

from __future__ import annotations

import sys

from consumers.catalogue.follower import CatalogueFollower
from consumers.following.process import follow


def main() -> int:
    """Runs the follower; returns the exit code."""
    return follow(CatalogueFollower.name, CatalogueFollower)


if __name__ == "__main__":
    sys.exit(main())
