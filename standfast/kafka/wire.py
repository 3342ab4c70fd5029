"""Sends one raw request to one Kafka node, for the few requests that no client library has."""

from __future__ import annotations

import socket
import struct

CLIENT = b"standfast-supervisor"
NODE = "node"  # the user as whom the nodes of a cluster with an authorizer log in to its controllers
_SASL_HANDSHAKE, _SASL_AUTHENTICATE = 17, 36  # the API keys


def ask(address: str, message: bytes, timeout: float, password: str = "") -> bytes:
    """The answer, without its length field; blocks. Raises OSError, and struct.error for an answer cut short.

    With a password it logs in first, by SASL PLAIN; raises PermissionError if that is refused.
    """
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout) as connection:
        connection.settimeout(timeout)
        if password:
            _log_in(connection, password)
        return _answered(connection, message)


def header(api_key: int, version: int) -> bytes:
    """A request's header, without tags: API key, version, correlation id 1, client id."""
    return struct.pack(">hhi", api_key, version, 1) + text(CLIENT)


def text(value: bytes) -> bytes:
    """A string as Kafka writes it: its length in two bytes, and its bytes."""
    return struct.pack(">h", len(value)) + value


def _log_in(connection: socket.socket, password: str) -> None:
    proof = f"\0{NODE}\0{password}".encode()
    for request in (
        header(_SASL_HANDSHAKE, 1) + text(b"PLAIN"),
        header(_SASL_AUTHENTICATE, 0) + struct.pack(">i", len(proof)) + proof,
    ):
        _, code = struct.unpack_from(">ih", _answered(connection, request))
        if code:
            raise PermissionError(f"a controller refuses the login (code {code})")


def _answered(connection: socket.socket, message: bytes) -> bytes:
    connection.sendall(struct.pack(">i", len(message)) + message)
    with connection.makefile("rb") as answer:
        (size,) = struct.unpack(">i", answer.read(4))
        return answer.read(size)
