"""Standfast as a contender: the supervisor of `standfast up` with one service alone, on a Kafka that is there already.

Run as `python -m bench.own_system SERVICE`; settings and state folder come from the environment.
"""

from __future__ import annotations

import sys

from standfast import settings, system

if __name__ == "__main__":
    system.run(settings.load(), services=(sys.argv[1],), roles=(), embedded=False)
