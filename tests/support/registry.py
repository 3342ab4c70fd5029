"""A schema registry on loopback with the two calls of its interface that are used."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Registry(ThreadingHTTPServer):
    """Remembers schemas by id."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.schemas: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """Registering a schema, and reading one by its id."""

    server: Registry

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if body["schema"] not in self.server.schemas:
            self.server.schemas.append(body["schema"])
        self._answer(200, {"id": self.server.schemas.index(body["schema"]) + 1})

    def do_GET(self) -> None:
        number = int(self.path.rpartition("/")[2])
        if number > len(self.server.schemas):
            self._answer(404, {"error_code": 40403, "message": "Schema not found"})
        else:
            self._answer(200, {"schema": self.server.schemas[number - 1]})

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def _answer(self, status: int, fields: dict[str, object]) -> None:
        body = json.dumps(fields).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def running_registry() -> Iterator[Registry]:
    """A registry that answers in a thread."""
    with Registry() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield running
        finally:
            running.shutdown()
            thread.join(10)
