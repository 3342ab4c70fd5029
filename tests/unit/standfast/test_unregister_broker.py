"""The UnregisterBroker request for a dead broker, byte by byte as in Kafka's protocol."""

from __future__ import annotations

import socket
import struct
import threading

import pytest

from standfast.kafka.unregister_broker import error_code, request, unregister

ANSWER = struct.pack(">ibih", 1, 0, 0, 0) + b"\0\0"


def test_the_request_names_the_broker() -> None:
    sent = request(3)
    assert struct.unpack(">hhih", sent[:10]) == (64, 0, 1, len(b"standfast-supervisor"))
    assert sent[10:] == b"standfast-supervisor" + b"\0" + struct.pack(">i", 3) + b"\0"


def test_the_answer_tells_kafkas_error_code() -> None:
    assert error_code(ANSWER) == 0
    assert error_code(struct.pack(">ibih", 1, 0, 0, 41) + b"\0\0") == 41
    with pytest.raises(struct.error):
        error_code(ANSWER[:5])


@pytest.mark.parametrize(("codes", "done"), [([0], True), ([102], True), ([41, 0], True), ([41] * 50, False)])
def test_it_is_asked_again_until_it_is_done_or_time_is_up(codes: list[int], done: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        answering = threading.Thread(target=answer, args=(server, codes), daemon=True)
        answering.start()
        closed = "127.0.0.1:1"
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert unregister(2, [closed, address], 30.0 if done else 0.3) is done


def answer(server: socket.socket, codes: list[int]) -> None:
    """Answers one connection for each error code."""
    for code in codes:
        connection, _ = server.accept()
        with connection:
            (size,) = struct.unpack(">i", connection.recv(4))
            connection.recv(size)
            response = struct.pack(">ibih", 1, 0, 0, code) + b"\0\0"
            connection.sendall(struct.pack(">i", len(response)) + response)
