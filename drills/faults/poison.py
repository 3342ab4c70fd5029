"""Records that a careless reader crashes of, or one of the user's own."""

from __future__ import annotations

import json
from collections.abc import Iterator

from drills.faults.injector import Kind
from drills.faults.records import Records
from drills.params import Param
from drills.targets import PARTITION_TARGETS

_DEEP = 20_000
_NASTY: tuple[bytes | None, ...] = (
    None,  # a tombstone
    b"",
    b"\0",
    b"\xff\xfe\xfd",
    b"{",
    b"[" * _DEEP,
    b'{"query":' + b'{"a":' * _DEEP,
    b'{"request_id":"\\ud800","query":"\\udfff","user_id":"\\ud800"}',
    b'{"query":"a\\u0000b","user_id":"a\\u0000b","k":5}',
    b'{"query":"a","user_id":"a","k":1e400}',
    b'{"query":"a","user_id":"a","k":' + b"9" * 5000 + b"}",
    b'{"query":"a","user_id":"a","k":-1}',
    b'{"query":"a","user_id":"a","k":NaN}',
    b'{"query":["a"],"user_id":{"a":1},"k":"5"}',
    json.dumps({"query": "\N{COMBINING ACUTE ACCENT}" * 100_000, "user_id": "a"}).encode(),
    json.dumps({"query": "a " * 100_000, "user_id": "u" * 200_000, "history": ["a"] * 50_000}).encode(),
    json.dumps({"query": "(a+)+$" * 1000, "user_id": "\N{RIGHT-TO-LEFT OVERRIDE}", "history": [""]}).encode(),
    b"null",
    b"true",
    b"1e999",
    b'"text"',
)


class Poison(Records):
    """Writes the record that `value` gives, else twenty kinds of nasty ones; a worker may only die of the former."""

    name = "kafka-poison"

    def values(self) -> Iterator[bytes | None]:
        """The records to write."""
        own = str(self.aim.params["value"])
        yield from [own.encode(errors="surrogatepass")] if own else _NASTY

    def may_kill(self) -> bool:
        """Whether the record is the user's own, which may be chosen for that."""
        return bool(self.aim.params["value"])


POISON = Kind(
    "kafka-poison",
    "records that a careless reader crashes of",
    Poison,
    targets=PARTITION_TARGETS,
    undo="nothing is left behind: each record is answered or a dead letter under the drill's id; the drill checks it",
    params=(Param("value", "", "the text of one record; empty: twenty kinds of nasty ones"),),
    figure=None,
)
