"""Thousands of random records on drills.control: each gets exactly one last event, and the runner survives."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from drills.control.events import FINAL
from schemas.codec import Codec, Encoding
from schemas.records import DrillCommand
from standfast import topics
from standfast.core import clients
from standfast.core.settings import KafkaSettings, Settings
from standfast.core.topics.topic_ids import identity_of
from tests.support.drill_stage import DrillStage, runner_in_a_thread
from tests.waiting import wait_until

_WORDS = [
    "worker-kill",
    "none",
    "*",
    "",
    "\x1b[2J",
    "../../x",
    "a" * 500,
    "drills.control-0-3",
    "ü\u2028",
    "worker_kill",
    "ack",
    "released",
    "workers-at-random",
]
_VALUES = [None, True, 0, -1, 1.5, 2**63, -(2**70), "text", "nan", [], {}, "x" * 3000, 1e308]
_FIELDS = [*DrillCommand.__struct_fields__, "request_id", "unknown"]


def record(chance: random.Random) -> bytes | None:
    """One record: random bytes, a damaged command, or a command with odd fields; none can inject a fault."""
    kind = chance.randrange(9)
    if kind == 0:
        return chance.choice(
            [None, b"", b"\x00", b"\xc3\x01", b"null", b"[]", b"1e400", b'"', b"\xff\xfe", b"{" * 5000]
        )
    if kind == 1:
        return chance.choice([b"", b"\x00", b"\xc3\x01", b"{", b" "]) + chance.randbytes(chance.randrange(60))
    if kind == 2:
        return chance.choice(_WORDS).encode()
    if kind == 3:
        good = Codec().encode(DrillCommand(drill=chance.choice(_WORDS), requested_by="fuzz"), Encoding.AVRO)
        at = chance.randrange(len(good))
        return good[:at] + chance.randbytes(chance.randrange(3)) + good[at:] if chance.random() < 0.7 else good[:at]
    if kind == 4:
        return json.dumps(order(chance)).encode()
    fields = {name: chance.choice([*_WORDS, *_VALUES]) for name in chance.sample(_FIELDS, chance.randrange(6))}
    if chance.random() < 0.5:
        fields["drill"] = chance.choice(_WORDS)
    if chance.random() < 0.3:
        fields["params"] = {chance.choice(["rate", "service", "queries", "x"]): chance.choice([*_WORDS, *_VALUES])}
    if chance.random() < 0.3:
        fields["drill_id"] = chance.choice([f"id-{chance.randrange(50)}", *_WORDS])
    text = json.dumps(fields)
    cut = chance.randrange(len(text)) if chance.random() < 0.1 else len(text)
    return text[:cut].encode()


def order(chance: random.Random) -> dict[str, object]:
    """An order of the other kinds: to the lever, for approvals, campaigns and game days; it may be right."""
    name = chance.choice(["lever", "approve", "campaign", "gameday", "abort"])
    value = chance.choice(
        ["engaged", "released", "start", "ack", "decided", "fixed", "note", "end", "workers-at-random", "id-1", "*", 7]
    )
    odd = {chance.choice(["team", "reason", "requested_by", "seed", "valid_until"]): chance.choice([*_WORDS, *_VALUES])}
    return {name: value, "drill_id": f"order-{chance.randrange(10_000)}"} | (odd if chance.random() < 0.5 else {})


@pytest.mark.parametrize(
    "count", [1_000, pytest.param(100_000, marks=[pytest.mark.slow, pytest.mark.timeout(7200)])], ids=str
)
def test_every_record_has_one_last_event_and_the_runner_lives(
    state: Path, broker: str, unique: str, count: int
) -> None:
    settings = Settings(kafka=KafkaSettings(bootstrap_servers=broker, topic_prefix=f"{unique}.", partitions=1))
    topics.apply(AdminClient(clients.base(settings, "test")), settings.kafka)
    stage = DrillStage(settings)
    chance = random.Random(count)
    producer = Producer(clients.producer(settings, "fuzz"))
    for _ in range(count):
        headers = [(chance.choice(["a", "error-offset", ""]), chance.randbytes(3))] if chance.random() < 0.1 else []
        producer.produce(stage.topic, record(chance), chance.choice([None, b"", b"\xff"]), headers=headers)
        producer.poll(0)
    assert producer.flush(60) == 0
    with runner_in_a_thread(settings) as runner:
        stage.order(drill="none", drill_id="the-last-one")
        wait_until(lambda: stage.events("the-last-one"), 120 + count * 0.5, every=5, what="the last one's answer")
        stage.order(abort="*", drill_id="the-end")  # of a campaign that an order may have begun
        topic_id = identity_of(AdminClient(clients.base(settings, "test")), stage.topic).topic_id
        expected = {f"{stage.topic}-0-{number}@{topic_id}": 1 for number in range(count + 2)}
        wait_until(
            lambda: ended_by_record(stage) == expected, 60 + count * 0.1, every=5, what="one last event for each"
        )
        assert runner.is_alive()
    stage.close()


def ended_by_record(stage: DrillStage) -> Counter[str | None]:
    """How many last events each record of the control topic has, not counting what campaigns and game days began."""
    events = (outcome.event for outcome in stage.outcomes())
    mine = (event.command for event in events if event.phase in FINAL and (event.command or "").startswith(stage.topic))
    return Counter(mine)
