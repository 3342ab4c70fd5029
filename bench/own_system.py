"""The system that is measured: the supervisor of `standfast up` with one service alone.

Run as `python -m bench.own_system SERVICE`; settings and state folder come from the environment. It has a Kafka of its
own unless the settings name one.
"""

from __future__ import annotations

import sys

from standfast import system
from standfast.core import settings

if __name__ == "__main__":
    system.run(settings.load(), services=(sys.argv[1],), roles=())
