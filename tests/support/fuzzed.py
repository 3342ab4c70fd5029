"""Random records, valid and broken, as clients may send them. The same seed gives the same records."""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass
from typing import Any

from schemas.codec import Codec, Encoding
from schemas.records import (
    DrillCommand,
    DrillEvent,
    Interaction,
    Profile,
    RecommendRequest,
    Record,
    Result,
    SearchRequest,
    Seen,
)

NUMBERED = "fuzz-number"  # header with a record's number; answers and dead letters carry it too
_WORDS = [
    "red heart",
    "",
    " ",
    "ü\u2028x",
    "\x1b[2J",
    "a" * 300,
    "心 ハート",
    "../../x",
    "\x00",
    "NaN",
    "*",
    "%s{}",
    "1e9",
]
_VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    1,
    23,
    101,
    1.5,
    1e308,
    2**31,
    2**63,
    -(2**70),
    "x" * 3000,
    [],
    {},
    [None],
    {"a": {}},
]
_TEXTS = [
    b"null", b"[]", b"{}", b"0", b'"text"', b"true", b"1e400", b"-0", b"NaN", b"Infinity", b"word", b"two words",
    b'{"query": 1e400}', b'{"query": "\\ud800", "user_id": "\\udfff"}', b'{"query": "a", "query": 1, "k": 1e999}',
    b'\xef\xbb\xbf{"query": "mark", "user_id": "m"}', b'\xef\xbb\xbf\xef\xbb\xbf{}',
    b'{"user_id": ' + b"9" * 5000 + b"}", b"{'a': 1}",
    b"[" * 20_000, b'{"a":' * 3000, b'{"query": "\xff\xfe", "user_id": "\xff"}', '{"query": "breit"}'.encode("utf-16"),
    b'{"request_id": 5, "query": "a", "user_id": {}}', b' \n\t{"query": "blanks", "user_id": "b"} ',
    b'{"query": "a\\u0000b", "user_id": "\\u0000", "item_id": "\\u0000"}', b'{"k": 0.0000000000000000000000000001}',
    b'{"user_id": "t", "item_id": "i", "timestamp": 9223372036854775807}',
    b'{"user_id": "t", "item_id": "i", "value": 1e999}',
    b'{"user_id": "t", "items": [], "updated_at": 99999999999999999999999}',
    b'{"user_id": "t", "items": [], "updated_at": 1, "earlier": {"a": -99999999999999999999}}',
    b'{"user_id": "t", "items": [{"item_id": "i", "event": "e", "timestamp": 99999999999999999999}], "updated_at": 1}',
]  # fmt: skip
_EVENTS = ["view", "click", "cart", "purchase", "rating", "refund", "remove_from_cart", "unheard-of"]
_KINDS: dict[str, type[Record]] = {
    "search.requests": SearchRequest,
    "search.requests.bulk": SearchRequest,
    "recommend.requests": RecommendRequest,
    "recommend.requests.bulk": RecommendRequest,
    "interactions": Interaction,
    "profiles": Profile,
    "search.results": Result,
    "recommend.results": Result,
    "drills.control": DrillCommand,
    "drills.results": DrillEvent,
}
_WEIGHTS = [28, 4, 25, 4, 27, 4, 3, 3, 1, 1]


@dataclass(frozen=True)
class Fuzzed:
    """One record to send. `right`: it is valid and has no odd header or timestamp. `at`: timestamp in ms, 0 for now."""

    number: int
    topic: str
    value: bytes | None
    key: bytes | None
    headers: list[tuple[str, bytes | None]]
    at: int
    right: bool

    @property
    def kind(self) -> type[Record]:
        """The record type that belongs on this topic."""
        return _KINDS[self.topic]


class Fuzz:
    """Makes random records. `codec` encodes them, also in the Confluent frame if there is a `registry`."""

    def __init__(self, seed: int, codec: Codec, *, registry: bool) -> None:
        self._chance = random.Random(seed)
        self._codec = codec
        self._encodings = [Encoding.JSON, Encoding.AVRO, *([Encoding.CONFLUENT] if registry else [])]

    def record(self, number: int, topic: str = "") -> Fuzzed:
        """The next record, for `topic` or for a random one."""
        chance = self._chance
        topic = topic or chance.choices(list(_KINDS), _WEIGHTS)[0]
        value, right = self._value(_KINDS[topic], number)
        if topic == "drills.control" and value is not None and b"kill" in value.lower():
            value = b"no-such-drill"  # a valid command would start a drill
        key = chance.choice([None, b"", b"\xff", b"key", b"%d" % (number % 97)])
        if topic == "profiles":  # compacted: Kafka refuses a record without a key, and keeps one record of each key
            key = b"p%d" % number
        right = right and chance.random() < 0.5
        headers = [] if right else self._headers()
        at = 0 if right else chance.choice([0, 0, 0, 1, 1_700_000_000, _now() - 86_400_000, _now() + 1_800_000])
        return Fuzzed(number, topic, value, key, [*headers, (NUMBERED, b"%d" % number)], at, right)

    def odd_names(self) -> list[tuple[bytes, bytes]]:
        """Two headers, whose names need not be UTF-8."""
        chance = self._chance
        return [(chance.choice([b"caf\xe9", b"\xff\xfe", b"name", b""]), chance.randbytes(3)) for _ in range(2)]

    def _value(self, kind: type[Record], number: int) -> tuple[bytes | None, bool]:
        chance = self._chance
        way = chance.random()
        if way < 0.4:
            return self._codec.encode(self._right(kind, number), chance.choice(self._encodings)), True
        if way < 0.6:
            return self._odd_fields(kind), False
        if way < 0.7:
            return chance.choice(_TEXTS), False
        if way < 0.9:
            return self._spoiled(self._codec.encode(self._right(kind, number), chance.choice(self._encodings))), False
        if way < 0.9999:
            start = chance.choice([None, b"", b"\x00", b"\xc3\x01", b"{", b'"', b"\x00\x00\x00\x00\x01", b"\x1f\x8b"])
            return None if start is None else start + chance.randbytes(chance.randrange(80)), False
        return self._large(), False

    def _right(self, kind: type[Record], number: int) -> Record:
        chance = self._chance
        made: dict[type[Record], Record] = {
            SearchRequest: SearchRequest(query=f"red heart {number}", k=chance.randint(1, 20)),
            RecommendRequest: RecommendRequest(user_id=f"u{number // 20}", k=chance.randint(1, 20), history=["a", "b"]),
            Interaction: Interaction(
                user_id=f"u{number // 20}", item_id=f"i{number}", event=chance.choice(_EVENTS[:4])
            ),
            Profile: Profile(
                user_id=f"p{number}", items=[Seen(item_id="a", event="view", timestamp=_now())], updated_at=_now()
            ),
            Result: Result(request_id=f"stranger-{number}", status="ok"),
            DrillCommand: DrillCommand(drill="no-such-drill", requested_by="fuzz"),
            DrillEvent: DrillEvent(drill_id=f"forged-{number}", drill="none", phase="accepted", at=_now()),
        }
        return made[kind]

    def _odd_fields(self, kind: type[Record]) -> bytes:
        chance = self._chance
        names = [*kind.__struct_fields__, "unknown"]
        odd = [*_WORDS, *_VALUES, *_EVENTS]
        fields = {name: chance.choice(odd) for name in names if chance.random() < 0.6}
        if chance.random() < 0.5:
            fields |= {name: f"x{chance.randrange(99)}" for name in ("user_id", "item_id", "query") if name in names}
        return json.dumps(fields, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")

    def _spoiled(self, good: bytes) -> bytes:
        chance = self._chance
        at = chance.randrange(len(good))
        if chance.random() < 0.3:
            return good[:at]
        if chance.random() < 0.5:
            return good[:at] + bytes([chance.randrange(256)]) + good[at + 1 :]
        return good[:at] + chance.randbytes(chance.randrange(4)) + good[at:]

    def _large(self) -> bytes:
        chance = self._chance
        field = chance.choice([b"query", b"user_id", b"item_id"])
        text = chance.choice(
            [b"x" * chance.choice([60_000, 900_000, 8_000_000]), chance.randbytes(400_000).hex().encode()]
        )
        return b'{"%b": "%b"}' % (field, text)

    def _headers(self) -> list[tuple[str, bytes | None]]:
        chance = self._chance
        now = _now()
        known: list[tuple[str, bytes | None]] = [
            ("deadline-ms", b"%d" % (now + 60_000)), ("deadline-ms", b"%d" % (now - 1)), ("deadline-ms", b"soon"),
            ("deadline-ms", b"9" * 400), ("deadline-ms", None), ("kafka_replyTopic", b"__consumer_offsets"),
            ("kafka_replyTopic", b"missing-%d" % chance.randrange(20)), ("kafka_replyTopic", b"\xff\x00"),
            ("kafka_replyTopic", b""), ("kafka_replyTopic", b"no-such-topic"), ("kafka_replyPartition", b"\xff" * 4),
            ("kafka_replyPartition", b"1"), ("kafka_correlationId", chance.randbytes(16)), ("traceparent", b"00-0-0-0"),
            ("", b"x"), ("n" * 300, b""), ("error-offset", b"7"), ("error-topic", b"\xff"), ("", None),
            ("__TypeId__", b"com.example.Request"), ("much", b"x" * 20_000),
        ]  # fmt: skip
        return [chance.choice(known) for _ in range(chance.choice([0, 0, 0, 1, 2, 3]))]


def _now() -> int:
    return time.time_ns() // 1_000_000
