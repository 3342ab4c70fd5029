"""What a failover is measured with: one way to strike the system a file. A further one is a file and a line here.

A strike does what it does and returns at once what it has hit; all else (load, waiting, judging) is the campaign's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from bench.failover.strikes import brokers, hang, host, kill, standby, stop, supervisor, two
from bench.failover.strikes.scene import Scene, Struck
from standfast.errors import UsageError

# answer: until the first committed answer of somebody else from each victim's partitions.
# pause: the longest that any request then had to wait, beyond what is usual.
Figure = Literal["answer", "pause"]


@dataclass(frozen=True, slots=True)
class Strike:
    """One way to strike.

    `brokers`: it needs a system of its own with so many; None: it suits a running one. `hosts`: one of so many is hit.
    """

    says: str
    make: Callable[[], Callable[[Scene], Struck]]
    figure: Figure = "answer"
    brokers: int | None = None
    hosts: int = 1


STRIKES = {
    "kill": Strike("SIGKILL of a worker", lambda: kill.strike),
    "hang": Strike("SIGSTOP of a worker", lambda: hang.strike),
    "two": Strike("SIGKILL of two workers at once", lambda: two.strike),
    "standby": Strike("SIGKILL of a worker and of its heir", lambda: standby.strike),
    "stop": Strike("SIGTERM of a worker", stop.Rolling, figure="pause"),
    "broker": Strike("SIGKILL of a partition's leader", lambda: brokers.leader, figure="pause", brokers=3),
    "controller": Strike("SIGKILL of the active controller", lambda: brokers.controller, figure="pause", brokers=3),
    "supervisor": Strike("SIGKILL of the supervisor; from its model's load", lambda: supervisor.strike, brokers=1),
    "host": Strike("SIGKILL of the supervisor of one of two hosts", lambda: host.strike, brokers=1, hosts=2),
}


def strike_named(name: str) -> Strike:
    """The strike of that name; raises UsageError for any other."""
    if name not in STRIKES:
        raise UsageError(f"there is no strike {name!r}; there are {', '.join(STRIKES)}")
    return STRIKES[name]
