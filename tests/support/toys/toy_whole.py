"""The toy system (`toy_system`) with all roles besides the workers: profiles, stream processor and drill runner.

Run as `python -m tests.support.toys.toy_whole SERVICE …`.
"""

from __future__ import annotations

import sys

from standfast.system import ROLES
from tests.support.toys.toy_system import main

if __name__ == "__main__":
    main(sys.argv[1:], roles=ROLES)
