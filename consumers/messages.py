"""What the supervisor, a nursery and its workers say to each other, over Unix sockets that keep message boundaries."""

from __future__ import annotations

import socket
from typing import TypeVar

import msgspec
from msgspec.json import Decoder

_LARGEST = 262_144


class Activate(msgspec.Struct, frozen=True, tag=True):
    """To a standby: take over this identity."""

    worker_id: str


class Stop(msgspec.Struct, frozen=True, tag=True):
    """To a worker, standby or nursery: finish what is in hand and end."""


class Fork(msgspec.Struct, frozen=True, tag=True):
    """To a nursery, with one socket attached: make a new standby for this slot."""

    slot: str


class Loaded(msgspec.Struct, frozen=True, tag=True):
    """From a nursery: the model is in memory."""

    model: str


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
    """From a standby: the model is warm and its clients are connected."""


class Serving(msgspec.Struct, frozen=True, tag=True):
    """From a worker: the partitions it serves now."""

    partitions: dict[str, list[int]]


Message = Activate | Stop | Fork | Loaded | Failed | Forked | Exited | Ready | Serving
M = TypeVar("M")

TO_WORKER: Decoder[Activate | Stop] = Decoder(Activate | Stop)
TO_NURSERY: Decoder[Fork | Stop] = Decoder(Fork | Stop)
FROM_NURSERY: Decoder[Loaded | Failed | Forked | Exited] = Decoder(Loaded | Failed | Forked | Exited)
FROM_WORKER: Decoder[Ready | Serving | Failed] = Decoder(Ready | Serving | Failed)


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(channel: socket.socket, message: Message, descriptors: tuple[int, ...] = ()) -> bool:
    """Sends one message, with file descriptors attached; False if the other end is gone."""
    data = msgspec.json.encode(message)
    try:
        socket.send_fds(channel, [data], list(descriptors))
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


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
