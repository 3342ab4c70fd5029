"""The system that strikes need for themselves: the supervisor of `standfast up` with one service and its own Kafka.

Run as `python -m bench.failover_system SERVICE`; settings and state folder come from the environment.
"""

from __future__ import annotations

import sys

from standfast import settings, system

if __name__ == "__main__":
    system.run(settings.load(), services=(sys.argv[1],), roles=())
