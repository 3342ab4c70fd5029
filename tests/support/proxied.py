"""The network proxy as a process of its own, servers that echo behind it, and clients that never stop asking."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from standfast.core.network import routes
from standfast.core.network.routes import Route
from standfast.core.processes import role_word
from standfast.core.telemetry import SLOT_VARIABLE
from standfast.kafka.broker_config import free_port
from tests.waiting import wait_until

# Asks every 10 ms and comes back after each end of its connection, as a client of Kafka does.
_CLIENT = """
import socket, sys, time
while True:
    try:
        line = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
        while True:
            line.sendall(b"ask!")
            if not line.recv(100):
                break
            time.sleep(0.01)
    except OSError:
        time.sleep(0.01)
"""


class ProxyProcess:
    """`python -m standfast.proxy` on the state folder of the test, started again whenever the test says so."""

    def __init__(self, state: Path, passed_on: list[Route]) -> None:
        self._environment = {**os.environ, "STANDFAST_HOME": str(state), SLOT_VARIABLE: "network"}
        routes.keep(passed_on)
        self.start()

    def start(self) -> None:
        """Returns when it listens."""
        role_word.forget("network")
        self.process = subprocess.Popen([sys.executable, "-m", "standfast.proxy"], env=self._environment)
        wait_until(lambda: role_word.has_begun("network"), what="a proxy that listens")

    def end(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Ends it with this signal and returns when it is gone."""
        self.process.send_signal(how)
        self.process.wait(20)


@contextmanager
def proxied(state: Path, *servers: str) -> Iterator[ProxyProcess]:
    """The proxy with a route to an echoing server for each of these names."""
    with echoing(len(servers)) as ports:
        passed_on = [Route(name, free_port(), "127.0.0.1", port) for name, port in zip(servers, ports, strict=True)]
        proxy = ProxyProcess(state, passed_on)
        try:
            yield proxy
        finally:
            proxy.end()


@contextmanager
def echoing(count: int) -> Iterator[list[int]]:
    """The ports of servers that send back what they get, until the block ends."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    for listener in listeners:
        threading.Thread(target=_accept, args=(listener,), daemon=True).start()
    try:
        yield [listener.getsockname()[1] for listener in listeners]
    finally:
        for listener in listeners:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()


@contextmanager
def asking(port: int, count: int = 1) -> Iterator[list[int]]:
    """The pids of processes that ask at this port until the block ends."""
    clients = [subprocess.Popen([sys.executable, "-c", _CLIENT, str(port)]) for _ in range(count)]
    try:
        yield [client.pid for client in clients]
    finally:
        for client in clients:
            client.kill()
            client.wait()


def _accept(listener: socket.socket) -> None:
    while True:
        try:
            line, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_echo, args=(line,), daemon=True).start()


def _echo(line: socket.socket) -> None:
    with line:
        try:
            while piece := line.recv(65_536):
                line.sendall(piece)
        except OSError:
            return
