"""The contenders that can be compared, how each is set up, and whether it is installed."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from standfast.core.errors import SetupError, UsageError

RAW = "raw"


@dataclass(frozen=True, slots=True)
class Contender:
    """One contender.

    Args:
        module: it is run as `python -m module`.
        how: its settings in words.
        package: the distribution that it needs in addition to ours.
        computes: it runs the model.
        as_usual: it has the encoder as transformers computes it, not ours.
    """

    name: str
    module: str
    transport: Literal["kafka", "http"]
    delivery: str
    how: str
    package: str | None = None
    computes: bool = True
    as_usual: bool = False

    @property
    def version(self) -> str:
        """The version of its package, or of confluent-kafka if it needs none."""
        return version(self.package or "confluent-kafka")


STANDFAST = Contender(
    "standfast", "bench.own_system", "kafka", "exactly once", "`standfast up` with 1 worker and 1 standby",
    package="standfast",
)  # fmt: skip
BARE = Contender(
    "bare", "bench.peers.bare", "kafka", "exactly once", "consume, produce, commit with our client settings, no model",
    computes=False,
)  # fmt: skip
PEERS = (
    Contender(
        "plain", "bench.peers.plain", "kafka", "at least once",
        "poll and drain, flush and commit a batch, client's defaults",
    ),
    Contender(
        "plain-eos", "bench.peers.plain_eos", "kafka", "exactly once",
        "poll and drain, a transaction a batch, client's defaults",
    ),
    Contender(
        "faststream", "bench.peers.faststream", "kafka", "automatic commit",
        "as it ships: batch subscriber, polling_interval 0.1 s, ACK_FIRST", package="faststream",
    ),
    Contender(
        "litserve", "bench.peers.litserve", "http", "nothing is stored",
        "batch timeout 5 ms, 1 worker, 1 API server", package="litserve",
    ),
    Contender(
        "litserve-usual", "bench.peers.litserve", "http", "nothing is stored",
        "the same, with the encoder as transformers computes it, in float32", package="litserve", as_usual=True,
    ),
    Contender(
        "ray", "bench.peers.ray", "http", "nothing is stored",
        "@serve.batch, wait 5 ms, 1 replica, max_ongoing_requests raised from 5 so that batches fill", package="ray",
    ),
)  # fmt: skip
_BY_NAME = {contender.name: contender for contender in (BARE, *PEERS)}


def chosen(against: str) -> list[Contender]:
    """The peers of a list such as `litserve,plain`; `all` is every peer, `raw` is none.

    Raises UsageError for an unknown name, SetupError for peers that are not installed.
    """
    names = [peer.name for peer in PEERS] if against == "all" else [name.strip() for name in against.split(",")]
    wrong = [name for name in names if name not in {*_BY_NAME, RAW, STANDFAST.name}]
    if wrong:
        raise UsageError(f"--against {','.join(wrong)}: there are {', '.join(_BY_NAME)}, all, and {RAW} for no peer")
    peers = [_BY_NAME[name] for name in dict.fromkeys(names) if name in _BY_NAME]
    missing = [peer.name for peer in peers if not _installed(peer)]
    if missing:
        raise SetupError(f"{' and '.join(missing)}: not installed; `make peers` installs what can be measured against")
    return peers


def _installed(peer: Contender) -> bool:
    try:
        return bool(peer.version)
    except PackageNotFoundError:
        return False
