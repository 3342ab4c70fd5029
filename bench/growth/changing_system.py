"""The system of `bench.growth.changes`: one service, and the role that follows the topic `catalogue`.

Run as `python -m bench.growth.changing_system SERVICE`; settings and state folder come from the environment.
"""

from __future__ import annotations

import sys

from standfast import system
from standfast.core import settings

if __name__ == "__main__":
    system.run(settings.load(), services=(sys.argv[1],), roles=("catalogue",))
