"""Messages between the supervisor, a nursery and its workers, over Unix sockets that keep message boundaries."""

from __future__ import annotations

import contextlib
import socket
from typing import TypeVar

import msgspec
from msgspec.json import Decoder

from consumers.channel.canary_figures import CanaryFigures

BEAT_S = 0.5  # a nursery sends Beat this often
_LARGEST = 262_144  # bytes of a message that are received; a Suspected names up to 4096 records


class Activate(msgspec.Struct, frozen=True, tag=True):
    """To a standby: take over this identity."""

    worker_id: str


class Leave(msgspec.Struct, frozen=True, tag=True):
    """To a worker: finish the current batch, leave the group, and end."""


class StopOrder(msgspec.Struct, frozen=True, tag=True):
    """To a worker, standby or nursery: finish the current work and end."""


class Fork(msgspec.Struct, frozen=True, tag=True):
    """To a nursery, with one socket attached: fork a standby for this slot of a service with so many workers."""

    slot: str
    workers: int


class Suspected(msgspec.Struct, frozen=True, tag=True):
    """To a worker: all records that were being computed when a worker died, as partition, offset and deaths."""

    records: list[tuple[int, int, float]]


class Recreated(msgspec.Struct, frozen=True, tag=True):
    """To a worker: a request topic was deleted and made again; its positions are those of the deleted one."""


class CheckWeights(msgspec.Struct, frozen=True, tag=True):
    """To a worker, standby or nursery: compare all of the model's weights with what was loaded, now."""


class CanaryOrder(msgspec.Struct, frozen=True, tag=True):
    """To a worker or standby: which version is to serve, and what its challenger does, if there is one.

    `share`: of the keys that the challenger answers; `shadow`: it computes the others too. `since` names the canary.
    """

    champion: int
    challenger: int | None = None
    share: float = 0.0
    shadow: bool = False
    since: int = 0


class Cleared(msgspec.Struct, frozen=True, tag=True):
    """From a worker: these suspected records are committed; partition and offset of each."""

    records: list[tuple[int, int]]


class Loaded(msgspec.Struct, frozen=True, tag=True):
    """From a nursery: the model is in memory."""

    model: str


class Beat(msgspec.Struct, frozen=True, tag=True):
    """From a nursery, at least twice a second: it lives and can fork."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """From a nursery or worker: it ends, and why. `damaged`: its model's weights are not what was loaded.

    `challenger`: what it could not load is the challenger; the champion may be sound.
    """

    reason: str
    damaged: bool = False
    challenger: bool = False


class Forked(msgspec.Struct, frozen=True, tag=True):
    """From a nursery: the process that was made for this slot."""

    slot: str
    pid: int


class Ready(msgspec.Struct, frozen=True, tag=True):
    """From a standby: its model is warm and its clients are connected.

    `seats`: the identities for which it has a connected consumer, and which it therefore takes over fastest.
    """

    seats: list[str] = []


class Failing(msgspec.Struct, frozen=True, tag=True):
    """From a worker: the reason why its model fails on every request; "": the model answers again."""

    reason: str


class Waiting(msgspec.Struct, frozen=True, tag=True):
    """From a worker: what it waits for Kafka for, and since when; "": it no longer waits."""

    reason: str


class Done(msgspec.Struct, frozen=True, tag=True):
    """From a worker that was told to stop: its last batch is committed; a successor may begin while it ends."""


class Left(msgspec.Struct, frozen=True, tag=True):
    """From a worker about to end: it has left the group, and other workers get its partitions; it has no successor."""


class LoadReport(msgspec.Struct, frozen=True, tag=True):
    """From a worker, once a second: its load since the last report; bulk requests do not count.

    `waiting`: requests that are not answered yet, None while the end offset of a partition is not known.
    `oldest_s`: how long the oldest request that waits here has waited.
    `answered`: requests since the last report; `refused`: those of them that could not be computed in time.
    `busy_s`: the seconds spent on batches, of the `over_s` seconds since the last report.
    """

    partitions: int
    waiting: int | None
    oldest_s: float
    answered: int
    refused: int
    busy_s: float
    over_s: float


class CanaryReport(msgspec.Struct, frozen=True, tag=True):
    """From a worker with a challenger, once a second: all it has seen of the canary that began at `since`."""

    since: int
    figures: CanaryFigures


class Serving(msgspec.Struct, frozen=True, tag=True):
    """From a worker: the partitions it serves now."""

    partitions: dict[str, list[int]]


ToWorker = Activate | Leave | StopOrder | Suspected | Recreated | CheckWeights | CanaryOrder
FromWorker = Ready | Serving | LoadReport | CanaryReport | Waiting | Done | Left | Failing | Failed | Cleared
Message = ToWorker | FromWorker | Fork | Loaded | Forked | Beat
M = TypeVar("M")

TO_WORKER: Decoder[ToWorker] = Decoder(ToWorker)
TO_NURSERY: Decoder[Fork | StopOrder | CheckWeights] = Decoder(Fork | StopOrder | CheckWeights)
FROM_NURSERY: Decoder[Loaded | Failed | Forked | Beat] = Decoder(Loaded | Failed | Forked | Beat)
FROM_WORKER: Decoder[FromWorker] = Decoder(FromWorker)


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets, one for each side."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(channel: socket.socket, message: Message, descriptors: tuple[int, ...] = ()) -> bool:
    """Sends one message, with file descriptors attached; False if the other end is closed, or its buffer is full.

    A full buffer makes a blocking socket wait instead.
    """
    data = msgspec.json.encode(message)
    try:
        socket.send_fds(channel, [data], list(descriptors))
    except (BrokenPipeError, ConnectionResetError, BlockingIOError):
        return False
    return True


def offer(channel: socket.socket, message: Message) -> None:
    """Sends one message that may be lost: it is dropped if the other end is closed or its buffer is full."""
    with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
        channel.send(msgspec.json.encode(message), socket.MSG_DONTWAIT)


def receive(channel: socket.socket, decoder: Decoder[M]) -> M | None:
    """The next message; None when the other end is closed. Blocks, unless the socket is non-blocking."""
    try:
        data = channel.recv(_LARGEST)
    except ConnectionResetError:
        return None
    return decoder.decode(data) if data else None


def receive_with_descriptor(channel: socket.socket, decoder: Decoder[M]) -> tuple[M, int | None] | None:
    """The next message and the file descriptor attached to it; None when the other end is closed. Blocks."""
    data, descriptors, _flags, _address = socket.recv_fds(channel, _LARGEST, 1)
    if not data:
        return None
    return decoder.decode(data), (descriptors[0] if descriptors else None)
