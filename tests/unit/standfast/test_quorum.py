"""The request that makes controllers elect another leader, byte by byte as in Kafka's protocol."""

from __future__ import annotations

import struct

import pytest

from standfast.kafka.quorum import elect_another, leader_and_epoch, request

TOPIC = struct.pack(">h", 18) + b"__cluster_metadata"


def answer(leader: int, epoch: int, error: int = 0) -> bytes:
    partition = struct.pack(">iihii", 1, 0, error, leader, epoch)
    return struct.pack(">ihi", 1, 0, 1) + TOPIC + partition


def test_the_request_names_the_leader_its_epoch_and_who_is_to_follow() -> None:
    sent = request(3, 7, 2)
    assert struct.unpack(">hhih", sent[:10]) == (54, 0, 1, len(b"standfast-supervisor"))
    body = sent[10 + len(b"standfast-supervisor") :]
    assert body == struct.pack(">hi", -1, 1) + TOPIC + struct.pack(">iiiiii", 1, 0, 3, 7, 1, 2)


@pytest.mark.parametrize("error", [0, 74])
def test_the_answer_tells_who_leads_also_where_the_request_was_of_the_past(error: int) -> None:
    assert leader_and_epoch(answer(2, 9, error)) == (2, 9)


@pytest.mark.parametrize("cut", [b"", b"\0" * 6, answer(2, 9)[:-1], struct.pack(">ih", 1, 42)])
def test_an_answer_without_them_is_an_error(cut: bytes) -> None:
    with pytest.raises(struct.error):
        leader_and_epoch(cut)


def test_controllers_that_do_not_answer_are_left_alone() -> None:
    assert not elect_another(1, {2: "127.0.0.1:1", 3: "127.0.0.1:1"}, 0.2)
