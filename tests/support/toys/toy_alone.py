"""A toy system that starts its own Kafka, as `bench.own_system` does with real models.

Run as `python -m tests.support.toys.toy_alone SERVICE`.
"""

from __future__ import annotations

import sys

from tests.support.toys.toy_system import main

if __name__ == "__main__":
    main(sys.argv[1:], embedded=True)
