"""The closed loop over HTTP: every request is sent once, and never more are in flight than asked for."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench.beside.http_caller import HttpLoop
from schemas.records import SearchRequest
from standfast.core.errors import ClusterError, NoAnswer

REQUESTS = [SearchRequest(query=f"query {number}") for number in range(40)]


class Server(ThreadingHTTPServer):
    """Counts concurrent requests (`most`); refuses a query that ends in 7 with status 503."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.now = self.most = 0
        self.seen: list[str] = []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.now += 1
            self.server.most = max(self.server.most, self.server.now)
            self.server.seen.append(body["query"])
        time.sleep(0.005)
        refused = body["query"].endswith("7")
        answer = json.dumps({"status": "ok", "request_id": body["request_id"]}).encode()
        with self.server.lock:
            self.server.now -= 1
        self.send_response(503 if refused else 200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_arguments: object) -> None:
        return


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture
def loop(server: Server) -> Iterator[HttpLoop]:
    made = HttpLoop(f"http://127.0.0.1:{server.server_port}/predict")
    yield made
    made.close()


def test_each_request_is_sent_once_with_no_more_in_flight_than_asked_for(server: Server, loop: HttpLoop) -> None:
    timings = loop.run(REQUESTS, 4)
    assert sorted(server.seen) == sorted(request.query for request in REQUESTS)
    assert 1 < server.most <= 4
    assert min(timings.seconds) > 0
    assert timings.elapsed > 0


def test_one_in_flight_is_one_after_the_other(server: Server, loop: HttpLoop) -> None:
    loop.run(REQUESTS, 1)
    assert server.most == 1
    assert server.seen == [request.query for request in REQUESTS]


def test_answers_that_are_no_good_are_counted(loop: HttpLoop) -> None:
    assert loop.run(REQUESTS, 4).not_ok == 4


def test_nobody_there_is_waited_for_and_given_up() -> None:
    loop = HttpLoop("http://127.0.0.1:1/predict")
    try:
        with pytest.raises(NoAnswer, match="no answer from"):
            loop.run(REQUESTS[:1], 1, 0.2)
    finally:
        loop.close()


def test_a_wait_ends_when_the_one_waited_for_is_dead() -> None:
    def dead() -> None:
        raise ClusterError("litserve ended (1): no memory")

    loop = HttpLoop("http://127.0.0.1:1/predict", dead)
    try:
        with pytest.raises(ClusterError, match="litserve ended"):
            loop.run(REQUESTS[:1], 1)
    finally:
        loop.close()
