"""The cost of users' profiles on a host as the number of users grows: `python -m bench.growth.profiles`.

The users are written as the follower writes them, 1,000 records at a time, and read as a worker reads them. Times are
processor time, except that of a standby, which is wall-clock time until it has its first profile.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from consumers.following import bulletin
from consumers.profiles.store import Change, opened
from consumers.requests.histories import ProfileHistories
from schemas.records import Profile, Seen

AT_ONCE = 1000  # records in one write
_CATALOGUE = 50_000  # items
_LOOKUPS = 20_000
_HEAD = """\
| users | items each | MB | bytes a user | µs to write one | µs to look one up | ms until a standby has them |
| ---: | ---: | ---: | ---: | ---: | ---: | ---: |"""


@dataclass(frozen=True, slots=True)
class ProfilesCost:
    """The cost of the whole store, and of one user."""

    bytes: int
    write_us: float
    lookup_us: float
    standby_ms: float


def measured(where: Path, users: int, items: int) -> ProfilesCost:
    """Writes `users` users with `items` items each below `where`, and reads up to 20,000 of them."""
    store = opened(where, "bench", 1 << 40)
    began = time.process_time()
    for first in range(0, users, AT_ONCE):
        store.write(changes(first, min(first + AT_ONCE, users), items), {0: first})
        store.limit_wal()
    write_s = time.process_time() - began
    bulletin.write(where, bulletin.Bulletin(store.path.name, complete=True, at=time.time_ns() // 1_000_000))
    began = time.perf_counter()
    histories = ProfileHistories(where)
    histories.start()
    assert len(histories.known("0").items) == items
    standby_s = time.perf_counter() - began
    lookup_s = _lookups(histories, users)
    histories.close()
    store.close()
    size = sum(path.stat().st_size for path in where.iterdir())
    return ProfilesCost(size, write_s / users * 1e6, lookup_s * 1e6, standby_s * 1000)


def changes(first: int, last: int, items: int) -> Iterator[Change]:
    """The profiles of the users `first` to `last` - 1, with `items` items each."""
    draw = random.Random(first)
    for user in range(first, last):
        at = 1_700_000_000_000 + draw.randrange(10**9)
        items_seen = [
            Seen(item_id=f"{draw.randrange(_CATALOGUE):06}", event="view", timestamp=at + 60_000 * number)
            for number in range(items)
        ]
        yield Change(0, str(user), Profile(user_id=str(user), items=items_seen, updated_at=at))


def _lookups(histories: ProfileHistories, users: int) -> float:
    draw = random.Random(1)
    users_read = [str(draw.randrange(users)) for _ in range(min(users, _LOOKUPS))]
    for user in users_read:
        histories.known(user)  # loads the items' ids, as in a worker that has served for a while
    began = time.process_time()
    for user in users_read:
        histories.known(user)
    return (time.process_time() - began) / len(users_read)


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
