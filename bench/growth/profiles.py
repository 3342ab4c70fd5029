"""What the users' profiles cost a host as users come: `python -m bench.growth.profiles`.

The users are written as the follower writes them, 1,000 records at once, and read as a worker reads them. Times are
processor time, but that of a standby, which is what passes until it has its first profile.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from consumers.profiles import bulletin
from consumers.profiles.store import Change, opened
from consumers.requests.histories import ProfileHistories
from schemas.records import Profile, Seen

AT_ONCE = 1000
_CATALOGUE = 50_000
_LOOKUPS = 20_000
_HEAD = """\
| users | items each | MB | bytes a user | µs to write one | µs to look one up | ms until a standby has them |
| ---: | ---: | ---: | ---: | ---: | ---: | ---: |"""


@dataclass(frozen=True, slots=True)
class ProfilesCost:
    """Of the store as a whole, and of one user."""

    bytes: int
    write_us: float
    lookup_us: float
    standby_ms: float


def measured(where: Path, users: int, items: int) -> ProfilesCost:
    """Writes that many users below `where`, each with so many items, and reads some of them."""
    store = opened(where, "bench", 1 << 40)
    began = time.process_time()
    for first in range(0, users, AT_ONCE):
        store.write(changes(first, min(first + AT_ONCE, users), items), {0: first})
        store.limit_wal()
    wrote = time.process_time() - began
    bulletin.write(where, bulletin.Bulletin(store.path.name, complete=True, at=time.time_ns() // 1_000_000))
    began = time.perf_counter()
    histories = ProfileHistories(where)
    histories.start()
    assert len(histories.known("0").items) == items
    standby = time.perf_counter() - began
    lookup = _lookups(histories, users)
    histories.close()
    store.close()
    size = sum(path.stat().st_size for path in where.iterdir())
    return ProfilesCost(size, wrote / users * 1e6, lookup * 1e6, standby * 1000)


def changes(first: int, last: int, items: int) -> Iterator[Change]:
    """Profiles of these users."""
    draw = random.Random(first)
    for user in range(first, last):
        at = 1_700_000_000_000 + draw.randrange(10**9)
        seen = [
            Seen(item_id=f"{draw.randrange(_CATALOGUE):06}", event="view", timestamp=at + 60_000 * number)
            for number in range(items)
        ]
        yield Change(0, str(user), Profile(user_id=str(user), items=seen, updated_at=at))


def _lookups(histories: ProfileHistories, users: int) -> float:
    draw = random.Random(1)
    wanted = [str(draw.randrange(users)) for _ in range(min(users, _LOOKUPS))]
    for user in wanted:
        histories.known(user)  # the ids of items are in memory from then on, as in a worker that has served for a while
    began = time.process_time()
    for user in wanted:
        histories.known(user)
    return (time.process_time() - began) / len(wanted)


def main() -> None:
    """Prints a row for each number of users."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth.profiles", description=__doc__)
    parser.add_argument("--users", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--items", type=int, default=50)
    given = parser.parse_args()
    print(_HEAD)
    for users in given.users:
        with tempfile.TemporaryDirectory() as folder:
            cost = measured(Path(folder), users, given.items)
        print(
            f"| {users:,} | {given.items} | {cost.bytes / 1e6:,.0f} | {cost.bytes / users:,.0f} | {cost.write_us:.0f} "
            f"| {cost.lookup_us:.1f} | {cost.standby_ms:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
