"""What the stream processor's profiles cost as users come: `python -m bench.growth.kept`.

The users are put into its file as when it reads `profiles` back, 1,000 records at once, and read as an interaction of
theirs is folded in. Times are processor time, but that of filling, which is what passes. Memory is the most that the
process had, Python included.
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
    """Of the file as a whole, and of one user."""

    bytes: int
    fill_s: float
    lookup_us: float


def measured(where: Path, users: int, items: int) -> KeptCost:
    """Puts that many users into a file below `where`, each with so many items, and reads some of them."""
    kept, codec, fill_s = open_profile_file(where, "bench"), Codec(), 0.0
    for first in range(0, users, AT_ONCE):
        made = changes(first, min(first + AT_ONCE, users), items)
        profiles = {(0, one.user_id.encode()): codec.encode(one.profile, Encoding.JSON) for one in made if one.profile}
        began = time.perf_counter()
        kept.put(profiles, {0: first + AT_ONCE})
        fill_s += time.perf_counter() - began
    draw = random.Random(1)
    wanted = [(0, str(draw.randrange(users)).encode()) for _ in range(min(users, _LOOKUPS))]
    began = time.process_time()
    assert all(kept.get(one) is not None for one in wanted)
    lookup = (time.process_time() - began) / len(wanted)
    kept.close()
    return KeptCost(sum(path.stat().st_size for path in where.iterdir()), fill_s, lookup * 1e6)


def main() -> None:
    """Prints a row for each number of users."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth.kept", description=__doc__)
    parser.add_argument("--users", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--items", type=int, default=50)
    given = parser.parse_args()
    print(_HEAD)
    for users in given.users:
        with tempfile.TemporaryDirectory() as folder:
            cost = measured(Path(folder), users, given.items)
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"| {users:,} | {given.items} | {cost.bytes / 1e6:,.0f} | {cost.bytes / users:,.0f} | {cost.fill_s:.0f} "
            f"| {cost.lookup_us:.1f} | {most:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
