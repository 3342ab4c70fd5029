"""The output of one batch: an answer or a dead letter for every record, and no record makes another fail."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.channel.heartbeat import Heartbeat
from consumers.requests.admission import Admission, Admitted, Decision, Origin
from consumers.requests.answers import Answers, Outgoing
from consumers.service import service
from consumers.serving.batches import Batches
from consumers.serving.breaker import Breaker
from consumers.serving.canary_routing import Challenged
from consumers.serving.suspects import KnownSuspects
from models.base import RecommendQuery, SearchQuery
from schemas.codec import Codec
from schemas.records import Item
from standfast.core import telemetry
from standfast.core.settings import Settings
from tests.support.origins import origin

_SETTINGS = Settings()
_SERVICE = service("search", _SETTINGS)


class SpyModel:
    """Answers with the query; raises for a group with the query `raise`. Records the heartbeat during each call."""

    label = "toy@7"

    def __init__(self, heartbeat: Heartbeat) -> None:
        self._heartbeat = heartbeat
        self.broken = False
        self.groups: list[list[str]] = []
        self.blamed: list[tuple[tuple[int, int], ...]] = []

    def predict(self, queries: Sequence[SearchQuery | RecommendQuery]) -> list[list[Item]]:
        texts = [query.query for query in queries if isinstance(query, SearchQuery)]
        self.groups.append(texts)
        self.blamed.append(self._heartbeat.read().computing)
        if self.broken or "raise" in texts:
            raise ValueError("cannot be computed")
        return [[Item(text, 1.0, text)] for text in texts]

    def warm_up(self) -> None:
        return


class BatchBench:
    """Batches with a `SpyModel`."""

    def __init__(self, folder: Path) -> None:
        self.heartbeat = Heartbeat(folder / "slot")
        self.heartbeat.reset()
        self.suspects = KnownSuspects()
        self.model = SpyModel(self.heartbeat)
        codec = Codec()
        self.admission = Admission(_SERVICE, _SETTINGS, codec)
        answers = Answers(_SERVICE, codec, "search-0", "toy@7", lambda _: 0)
        ask = Breaker(self.model, "search", lambda _: None).ask
        self.batches = Batches(self.admission, ask, answers, self.heartbeat, self.suspects, self.model.label)

    def work(self, *records: tuple[int, int, bytes]) -> list[Outgoing]:
        self.done = self.batches.work([origin(value, position=(number, offset)) for number, offset, value in records])
        return list(self.done.outgoing)


def suspect(bench: BatchBench, deaths: dict[tuple[int, int], float]) -> None:
    bench.suspects.deaths = deaths


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[BatchBench]:
    made = BatchBench(tmp_path)
    yield made
    made.heartbeat.close()


def query(text: str) -> bytes:
    return json.dumps({"request_id": text, "query": text}).encode()


def outcomes(written: list[Outgoing]) -> list[tuple[str, str]]:
    """For each record: ("dead", reason) of a dead letter, or (request id, status) of an answer."""
    statuses = []
    for outgoing in written:
        if outgoing.topic == _SERVICE.dead_letters:
            statuses.append(("dead", (dict(outgoing.headers)["error-reason"] or b"").decode()))
        else:
            fields = json.loads(outgoing.value or b"")
            statuses.append((fields["request_id"], fields["status"]))
    return statuses


def test_answers_come_in_the_order_of_the_requests(bench: BatchBench) -> None:
    written = bench.work((0, 1, query("a")), (1, 9, b"junk"), (0, 2, query(" ")), (0, 3, query("b")))
    assert [name for name, _ in outcomes(written)] == ["a", "dead", " ", "b"]
    assert bench.model.groups == [["a", "b"]], "what is admitted is computed together"
    assert bench.model.blamed == [((0, 1), (0, 3))]
    assert bench.heartbeat.read().computing == ()


def test_one_bad_request_fails_alone(bench: BatchBench) -> None:
    written = bench.work((0, 1, query("a")), (0, 2, query("raise")), (0, 3, query("b")))
    assert outcomes(written) == [
        ("a", "ok"),
        ("raise", "invalid"),
        ("dead", "the model failed on it: ValueError: cannot be computed"),
        ("b", "ok"),
    ]
    assert bench.model.groups == [["a", "raise", "b"], ["a"], ["raise"], ["b"]]


def test_while_the_model_fails_on_everything_nothing_is_set_aside(bench: BatchBench) -> None:
    overloaded = telemetry.REQUESTS.labels(_SERVICE.requests, "toy", "7", "overloaded")
    before = overloaded._value.get()
    bench.work((0, 1, query("a")))
    bench.model.broken = True
    written = bench.work((0, 2, query("a")), (0, 3, query("b")), (0, 4, b"junk"))
    assert outcomes(written)[:2] == [("a", "overloaded"), ("b", "overloaded")]
    assert [outgoing.topic for outgoing in written] == [_SERVICE.results, _SERVICE.results, _SERVICE.dead_letters]
    assert "the model toy@7 has failed on every request since" in json.loads(written[0].value or b"")["error"]
    assert bench.done.offsets == {("search.requests", 0): 5}
    assert overloaded._value.get() == before + 2


def test_a_suspect_is_computed_alone_with_only_its_name_in_the_heartbeat(bench: BatchBench) -> None:
    suspect(bench, {(0, 2): 1})
    written = bench.work((0, 1, query("a")), (0, 2, query("b")), (1, 2, query("c")))
    assert outcomes(written) == [("a", "ok"), ("b", "ok"), ("c", "ok")]
    assert bench.model.groups == [["a", "c"], ["b"]]
    assert bench.model.blamed[1] == ((0, 2),)


def test_after_one_kill_from_outside_nothing_is_computed_alone(bench: BatchBench) -> None:
    suspect(bench, {(0, 1): 0.5, (0, 2): 0.5, (1, 2): 1.5})
    bench.work((0, 1, query("a")), (0, 2, query("b")), (1, 2, query("c")))
    assert bench.model.groups == [["a", "b"], ["c"]]


def test_what_was_being_computed_at_a_death_is_not_given_to_a_challenger(bench: BatchBench) -> None:
    """It may have been the cause, and nobody may be set aside because of a canary."""
    asked: list[list[str]] = []

    class Everything:
        label = "toy@8"

        def ask(self, requests: Sequence[Admitted]) -> list[Challenged]:
            asked.append([request.request_id for request in requests])
            return [Challenged([Item("i", 1.0, "")], "toy@8") for _ in requests]

    bench.batches._canary = Everything()  # type: ignore[assignment]
    theirs = telemetry.REQUESTS.labels(_SERVICE.requests, "toy", "8", "ok")
    before = theirs._value.get()
    suspect(bench, {(0, 1): 0.5, (0, 2): 1})
    written = bench.work((0, 1, query("a")), (0, 2, query("b")))
    written += bench.work((0, 3, query("c")))
    assert [json.loads(outgoing.value or b"")["model"] for outgoing in written] == ["toy@7", "toy@7", "toy@8"]
    assert asked == [["c"]]
    assert theirs._value.get() == before + 1


def test_whoever_dies_of_decoding_a_record_is_known_too(bench: BatchBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The heartbeat named records only while computing: a record that killed in the decoder killed every successor."""
    suspect(bench, {(0, 2): 1})
    decide, named = bench.admission.decide, []

    def watched(record: Origin, ahead_ms: float = 0.0, *, shed: bool = False) -> Decision:
        named.append(bench.heartbeat.read().computing)
        return decide(record, ahead_ms, shed=shed)

    monkeypatch.setattr(bench.admission, "decide", watched)
    bench.work((0, 1, b"junk"), (0, 2, b"junk"), (1, 2, b"junk"))
    every = ((0, 1), (0, 2), (1, 2))
    assert named == [every, ((0, 2),), every], "a suspect is decoded alone"
    assert bench.heartbeat.read().computing == ()


def test_what_is_being_copied_is_named(bench: BatchBench) -> None:
    bench.batches.reading([origin(position=(0, 4)), origin(position=(1, 5))])
    assert bench.heartbeat.read().computing == ((0, 4), (1, 5))
    bench.batches.reading(())
    assert bench.heartbeat.read().computing == ()


def test_a_record_that_killed_two_workers_is_not_given_to_a_third(bench: BatchBench) -> None:
    suspect(bench, {(0, 2): 2})
    ((first, _), (second, reason)) = outcomes(bench.work((0, 1, query("a")), (0, 2, query("b"))))
    assert (first, second) == ("a", "dead")
    assert reason.startswith("2 workers died while computing it")
    assert bench.model.groups == [["a"]]


def test_what_nobody_foresaw_in_a_record_does_not_end_the_worker(
    bench: BatchBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OverflowError("unforeseen")

    monkeypatch.setattr(bench.admission, "decide", fail)
    assert outcomes(bench.work((0, 1, query("a")))) == [("dead", "OverflowError: unforeseen")]


@given(st.dictionaries(st.integers(0, 3), st.integers(1, 5), min_size=1))
def test_offsets_are_next_to_read_and_nothing_is_left_out(
    tmp_path_factory: pytest.TempPathFactory, counts: dict[int, int]
) -> None:
    bench = BatchBench(tmp_path_factory.getbasetemp())
    values = [query("a"), b"junk", query(""), query("raise")]
    records = [
        (partition, offset, values[(partition + offset) % 4])
        for partition, count in counts.items()
        for offset in range(10, 10 + count)
    ]
    written = bench.work(*records)
    assert bench.done.offsets == {("search.requests", partition): 10 + count for partition, count in counts.items()}
    assert {(outgoing.origin.partition, outgoing.origin.offset) for outgoing in written} == {
        record[:2] for record in records
    }
    assert len(bench.done.timestamps_ms) == len(records)
    bench.heartbeat.close()
