"""What the supervisor, a nursery and its workers say to each other, over Unix sockets that keep message boundaries."""

from __future__ import annotations

import contextlib
import socket
from typing import TypeVar

import msgspec
from msgspec.json import Decoder

_LARGEST = 262_144


class Activate(msgspec.Struct, frozen=True, tag=True):
    """To a standby: take over this identity."""

    worker_id: str


class Leave(msgspec.Struct, frozen=True, tag=True):
    """To a worker: finish what is in hand, give up the place in the group for good, and end."""


class StopOrder(msgspec.Struct, frozen=True, tag=True):
    """To a worker, standby or nursery: finish what is in hand and end."""


class Fork(msgspec.Struct, frozen=True, tag=True):
    """To a nursery, with one socket attached: make a new standby for this slot, one of so many workers to be."""

    slot: str
    workers: int


class Suspected(msgspec.Struct, frozen=True, tag=True):
    """To a worker: all records that were being computed when a worker died: partition, offset and deaths of each."""

    records: list[tuple[int, int, int]]


class Cleared(msgspec.Struct, frozen=True, tag=True):
    """From a worker: these suspected records are committed."""

    records: list[tuple[int, int]]


class Loaded(msgspec.Struct, frozen=True, tag=True):
    """From a nursery: the model is in memory."""

    model: str


class Beat(msgspec.Struct, frozen=True, tag=True):
    """From a nursery, twice a second and more: it lives and can fork."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """From a nursery or worker about to end: why."""

    reason: str


class Forked(msgspec.Struct, frozen=True, tag=True):
    """From a nursery: the process of that slot."""

    slot: str
    pid: int


class Exited(msgspec.Struct, frozen=True, tag=True):
    """From a nursery: how a process ended; negative: by that signal."""

    slot: str
    pid: int
    status: int


class Ready(msgspec.Struct, frozen=True, tag=True):
    """From a standby: the model is warm, and its clients are connected; it can take over these identities fastest."""

    seats: list[str] = []


class Failing(msgspec.Struct, frozen=True, tag=True):
    """From a worker: its model fails on every request, and why; "": it answers again."""

    reason: str


class Waiting(msgspec.Struct, frozen=True, tag=True):
    """From a worker: it waits for Kafka, for what and since when; "": not any more."""

    reason: str


class Done(msgspec.Struct, frozen=True, tag=True):
    """From a worker that was asked to stop: what it owes is committed; a successor may begin while it closes."""


class Left(msgspec.Struct, frozen=True, tag=True):
    """From a worker about to end: Kafka has given its partitions to others; nobody is to succeed it."""


class LoadReport(msgspec.Struct, frozen=True, tag=True):
    """From a worker, once a second: what it has had to do since the last one; bulk requests do not count.

    `waiting`: requests that are not answered yet, None while Kafka has not said where each partition ends.
    `refused`: of those answered, the ones that could not be computed in time.
    `oldest_s`: how long the oldest of its requests has waited. `over_s`: the time this is about.
    """

    partitions: int
    waiting: int | None
    oldest_s: float
    answered: int
    refused: int
    busy_s: float
    over_s: float


class Serving(msgspec.Struct, frozen=True, tag=True):
    """From a worker: the partitions it serves now."""

    partitions: dict[str, list[int]]


ToWorker = Activate | Leave | StopOrder | Suspected
FromWorker = Ready | Serving | LoadReport | Waiting | Done | Left | Failing | Failed | Cleared
Message = ToWorker | FromWorker | Fork | Loaded | Forked | Exited | Beat
M = TypeVar("M")

TO_WORKER: Decoder[ToWorker] = Decoder(ToWorker)
TO_NURSERY: Decoder[Fork | StopOrder] = Decoder(Fork | StopOrder)
FROM_NURSERY: Decoder[Loaded | Failed | Forked | Exited | Beat] = Decoder(Loaded | Failed | Forked | Exited | Beat)
FROM_WORKER: Decoder[FromWorker] = Decoder(FromWorker)


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(channel: socket.socket, message: Message, descriptors: tuple[int, ...] = ()) -> bool:
    """Sends one message, with file descriptors attached; False if the other end is gone, or reads nothing any more."""
    data = msgspec.json.encode(message)
    try:
        socket.send_fds(channel, [data], list(descriptors))
    except (BrokenPipeError, ConnectionResetError, BlockingIOError):
        return False
    return True


def offer(channel: socket.socket, message: Message) -> None:
    """Sends one message that may be missed: dropped if the other end is gone, or so slow that there is no room."""
    with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
        channel.send(msgspec.json.encode(message), socket.MSG_DONTWAIT)


def receive(channel: socket.socket, decoder: Decoder[M]) -> M | None:
    """The next message; None when the other end is gone. Blocks unless the socket does not."""
    try:
        data = channel.recv(_LARGEST)
    except ConnectionResetError:
        return None
    return decoder.decode(data) if data else None


def receive_with_descriptor(channel: socket.socket, decoder: Decoder[M]) -> tuple[M, int | None] | None:
    """The next message and the descriptor attached to it; None when the other end is gone."""
    data, descriptors, _flags, _address = socket.recv_fds(channel, _LARGEST, 1)
    if not data:
        return None
    return decoder.decode(data), (descriptors[0] if descriptors else None)
