"""The cost of the stream processor's profiles as the number of users grows: `python -m bench.growth.kept`.

The users are written to its file as when it reads `profiles` back, 1,000 records at a time, and read as when an
interaction is added. Times are processor time, except that of filling, which is wall-clock time. Memory is the peak of
the process, Python included.
"""

from __future__ import annotations

import argparse
import random
import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench.growth.profiles import AT_ONCE, changes
from schemas.codec import Codec, Encoding
from streams.kept import open_profile_file

_LOOKUPS = 20_000
_HEAD = """\
| users | items each | MB | bytes a user | s to fill | µs to look one up | MB of memory |
| ---: | ---: | ---: | ---: | ---: | ---: | ---: |"""


@dataclass(frozen=True, slots=True)
class KeptCost:
    """The cost of the whole file, and of one user."""

    bytes: int
    fill_s: float
    lookup_us: float


def measured(where: Path, users: int, items: int) -> KeptCost:
    """Writes `users` users with `items` items each to a file below `where`, and reads up to 20,000 of them."""
    kept, codec, fill_s = open_profile_file(where, "bench"), Codec(), 0.0
    for first in range(0, users, AT_ONCE):
        new_profiles = changes(first, min(first + AT_ONCE, users), items)
        profiles = {
            (0, change.user_id.encode()): codec.encode(change.profile, Encoding.JSON)
            for change in new_profiles
            if change.profile
        }
        began = time.perf_counter()
        kept.put(profiles, {0: first + AT_ONCE})
        fill_s += time.perf_counter() - began
    draw = random.Random(1)
    keys = [(0, str(draw.randrange(users)).encode()) for _ in range(min(users, _LOOKUPS))]
    began = time.process_time()
    assert all(kept.get(key) is not None for key in keys)
    lookup_s = (time.process_time() - began) / len(keys)
    kept.close()
    return KeptCost(sum(path.stat().st_size for path in where.iterdir()), fill_s, lookup_s * 1e6)


def main() -> None:
    """Prints a row for each number of users."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth.kept", description=__doc__)
    parser.add_argument("--users", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--items", type=int, default=50)
    options = parser.parse_args()
    print(_HEAD)
    for users in options.users:
        with tempfile.TemporaryDirectory() as folder:
            cost = measured(Path(folder), users, options.items)
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"| {users:,} | {options.items} | {cost.bytes / 1e6:,.0f} | {cost.bytes / users:,.0f} | {cost.fill_s:.0f} "
            f"| {cost.lookup_us:.1f} | {peak_mb:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
