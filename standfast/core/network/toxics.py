"""Toxics: what the network proxy does to connections, as plain data, and how the proxy is asked to begin and end it.

A toxic has a lease: the proxy ends it by itself when nobody has renewed it for `lease_s`, so a drill that was killed
leaves nothing behind.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from standfast.core.errors import ClusterError
from standfast.core.home import folder

LEASE_S = 10.0  # a toxic that nobody renews ends after this
_LARGEST = 1_000_000  # bytes of a question or an answer
Direction = Literal["both", "to_server", "to_client"]
Sort = Literal["latency", "silence", "bandwidth", "reset", "refuse"]
_Positive = Annotated[float, Meta(ge=0, le=3_600_000)]


class Reach(msgspec.Struct, frozen=True):
    """Connections that a toxic applies to: those of a route, from these processes (all if empty), in one direction."""

    route: str
    clients: tuple[int, ...] = ()
    direction: Direction = "both"


class Toxic(msgspec.Struct, frozen=True, kw_only=True):
    """One disturbance of the network.

    Args:
        id: names it when it is renewed or removed.
        sort: `latency` delays each piece, `bandwidth` lets through so many bytes a second in small pieces, `silence`
            holds everything back until it ends, `reset` resets connections older than `live_ms`, `refuse` accepts no
            connection and resets those that exist.
        delay_ms, jitter_ms: each piece is delayed by `delay_ms`, and up to `jitter_ms` more or less (`seed`).
        bytes_per_s, piece: for `bandwidth`.
    """

    id: str
    sort: Sort
    reaches: tuple[Reach, ...]
    lease_s: Annotated[float, Meta(gt=0, le=60)] = LEASE_S
    delay_ms: _Positive = 0.0
    jitter_ms: _Positive = 0.0
    bytes_per_s: _Positive = 0.0
    piece: Annotated[int, Meta(ge=1)] = 1_460
    live_ms: _Positive = 0.0
    seed: int = 0


class ToxicSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A toxic that the proxy applies now, and what it has done so far.

    Args:
        left_s: until the lease ends.
        connections: how many connections it applies to now.
        waiting: bytes that have arrived on them and are held back now.
        resets: connections that it has reset, or not accepted.
    """

    id: str
    left_s: float
    connections: int
    waiting: int
    resets: int


class Question(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the proxy shall do: add a toxic, renew the leases of some, remove some."""

    add: Toxic | None = None
    renew: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The proxy's process, its toxics after it did what it was asked, and why it did not do it."""

    pid: int
    toxics: tuple[ToxicSeen, ...] = ()
    error: str = ""

    def seen(self, toxic_id: str) -> ToxicSeen | None:
        """The toxic of that id; None if the proxy does not apply it."""
        return next((toxic for toxic in self.toxics if toxic.id == toxic_id), None)


def ask(question: Question, within_s: float = 2.0) -> Answer:
    """The proxy's answer; raises ClusterError if there is none: whether it did what was asked is not known then."""
    try:
        with socket.socket(socket.AF_UNIX) as line, SocketPath() as path:
            line.settimeout(within_s)
            line.connect(path)
            line.sendall(msgspec.json.encode(question) + b"\n")
            with line.makefile("rb") as lines:
                answer = msgspec.json.decode(lines.readline(_LARGEST), type=Answer)
    except (OSError, msgspec.MsgspecError) as error:
        raise ClusterError(
            f"the network proxy does not answer ({error}); it runs where drills.network = true: standfast status"
        ) from None
    return answer


class SocketPath:
    """A short path of the proxy's socket, good until the block ends.

    A socket's address has room for 107 bytes and a state folder's path may have more, so the folder is named by its
    descriptor.
    """

    def __enter__(self) -> str:
        self._folder = os.open(folder("network"), os.O_PATH | os.O_DIRECTORY)
        return f"/proc/self/fd/{self._folder}/proxy.socket"

    def __exit__(self, *_: object) -> None:
        os.close(self._folder)


def socket_file() -> Path:
    """Where the socket lies."""
    return folder("network") / "proxy.socket"
