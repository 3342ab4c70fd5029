"""A schema registry on loopback: the two REST calls that clients use, and the faults of real registries."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Registry(ThreadingHTTPServer):
    """Keeps schemas in memory; a schema's id is its index + 1."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.schemas: list[str] = []
        self.asked: list[str] = []
        self.failing: tuple[int, object] | None = None  # status and body of every response
        self.hanging = threading.Event()  # every request waits for it: cleared, the registry hangs
        self.hanging.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """Registers a schema (POST), and returns one by its id (GET)."""

    server: Registry

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._is_failing():
            return
        if body["schema"] not in self.server.schemas:
            self.server.schemas.append(body["schema"])
        self._answer(200, {"id": self.server.schemas.index(body["schema"]) + 1})

    def do_GET(self) -> None:
        if self._is_failing():
            return
        if self.path == "/subjects":
            self._answer(200, [])
            return
        number = int(self.path.rpartition("/")[2])
        if number > len(self.server.schemas):
            self._answer(404, {"error_code": 40403, "message": "Schema not found"})
        else:
            self._answer(200, {"schema": self.server.schemas[number - 1]})

    def _is_failing(self) -> bool:
        self.server.asked.append(self.path)
        self.server.hanging.wait(60)
        if self.server.failing is not None:
            self._answer(*self.server.failing)
        return self.server.failing is not None

    def log_message(self, *_: object) -> None:
        """Logs nothing."""

    def _answer(self, status: int, fields: object) -> None:
        body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def running_registry() -> Iterator[Registry]:
    """A registry that serves in a thread during the block."""
    with Registry() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield running
        finally:
            running.hanging.set()
            running.shutdown()
            thread.join(10)
