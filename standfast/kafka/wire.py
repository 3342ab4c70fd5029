"""Sends one raw request to one Kafka node, for the few requests that no client library has."""

from __future__ import annotations

import socket
import struct

CLIENT = b"standfast-supervisor"


def ask(address: str, message: bytes, timeout: float) -> bytes:
    """The answer, without its length field; blocks. Raises OSError, and struct.error for an answer cut short."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout) as connection:
        connection.settimeout(timeout)
        connection.sendall(struct.pack(">i", len(message)) + message)
        with connection.makefile("rb") as answer:
            (size,) = struct.unpack(">i", answer.read(4))
            return answer.read(size)
