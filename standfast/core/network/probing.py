"""Whether a broker answers at an address, and how soon: what a client there would see."""

from __future__ import annotations

import socket
import struct
import time

_CLIENT = b"standfast-probe"
# ApiVersions, version 0, correlation id 1: every broker answers it at once, without authentication.
_REQUEST = struct.pack(">hhih", 18, 0, 1, len(_CLIENT)) + _CLIENT
API_VERSIONS = struct.pack(">i", len(_REQUEST)) + _REQUEST


def answer_s(port: int, within_s: float) -> float | None:
    """Seconds until a broker's answer from this port of 127.0.0.1 begins; None if it does not in time."""
    return _answer_s(port, API_VERSIONS, within_s)


def http_answer_s(port: int, path: str, within_s: float) -> float | None:
    """The same for an HTTP server, asked for this path; any status is an answer."""
    return _answer_s(port, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode(), within_s)


def _answer_s(port: int, question: bytes, within_s: float) -> float | None:
    began = time.monotonic()
    try:
        with socket.create_connection(("127.0.0.1", port), within_s) as line:
            line.settimeout(max(0.001, within_s - (time.monotonic() - began)))
            line.sendall(question)
            return time.monotonic() - began if line.recv(4) else None
    except OSError:
        return None


def is_open(port: int, within_s: float) -> bool:
    """Whether a connection to this port of 127.0.0.1 is accepted."""
    try:
        with socket.create_connection(("127.0.0.1", port), within_s):
            return True
    except OSError:
        return False
