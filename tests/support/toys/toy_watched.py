"""A toy system with a Kafka of its own, the drill runner, the agent and the console.

Run as `python -m tests.support.toys.toy_watched SERVICE …`.
"""

from __future__ import annotations

import sys

from tests.support.toys.toy_system import main

if __name__ == "__main__":
    main(sys.argv[1:], embedded=True, roles=("drills", "agent", "console"))
