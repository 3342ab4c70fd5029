"""The system that a benchmark starts: the supervisor of `standfast up` with only one service and no roles.

Run as `python -m bench.own_system SERVICE`; settings and state folder come from the environment. It starts a Kafka of
its own unless the settings name one.
"""

from __future__ import annotations

import sys

from standfast import system
from standfast.core import settings

if __name__ == "__main__":
    system.run(settings.load(), services=(sys.argv[1],), roles=())
