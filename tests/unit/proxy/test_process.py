"""The proxy's process: it is asked by a socket, survives what is no question, and begins without toxics."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from standfast.core.errors import ClusterError
from standfast.core.network import probing, routes
from standfast.core.network.toxics import Question, Reach, SocketPath, Toxic, ask, socket_file
from tests.support.proxied import proxied

SILENCE = Question(add=Toxic(id="t", sort="silence", reaches=(Reach("kafka-1"),)))


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose path is longer than the address of a socket may be."""
    folder = tmp_path / ("a" * 60) / ("b" * 60)
    monkeypatch.setenv("STANDFAST_HOME", str(folder))
    return folder


def test_it_is_asked_and_begins_again_without_toxics(state: Path) -> None:
    with proxied(state, "kafka-1") as proxy:
        (route,) = routes.kept()
        assert probing.answer_s(route.front, 5) is not None
        assert ask(SILENCE).seen("t")
        assert probing.answer_s(route.front, 0.2) is None
        assert socket_file().stat().st_mode & 0o077 == 0, "others could hold back all answers"
        for garbage in (b"\n", b"{}{\n", b"\xff\n", b'{"add": {"id": "t", "sort": "nothing"}}\n'):
            assert b'"error":"' in _said(garbage)
        assert ask(Question()).seen("t"), "what is no question changes nothing"
        proxy.end()
        with pytest.raises(ClusterError, match="the network proxy does not answer"):
            ask(Question())
        proxy.start()
        assert not ask(Question()).toxics
        assert probing.answer_s(route.front, 5) is not None
        proxy.end(signal.SIGTERM)
        assert proxy.process.returncode == 0


def _said(line: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection, SocketPath() as path:
        connection.settimeout(10)
        connection.connect(path)
        connection.sendall(line)
        return connection.recv(10_000)
