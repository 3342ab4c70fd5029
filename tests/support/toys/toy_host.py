"""A toy system with a fault agent and no other role: one host of several, whose drill runner is elsewhere.

Run as `python -m tests.support.toys.toy_host SERVICE …`.
"""

from __future__ import annotations

import sys

from tests.support.toys.toy_system import main

if __name__ == "__main__":
    main(sys.argv[1:], roles=("agent",))
