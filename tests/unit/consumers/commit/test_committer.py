"""The committer delivers exactly what was submitted, without lost partitions, whatever errors Kafka returns."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from consumers.commit import committer as committer_module
from consumers.commit.committer import Committer
from consumers.commit.work import Replying, Unwritable, Work
from consumers.requests.answers import Outgoing
from standfast.core import backoff
from standfast.core.errors import Fenced
from tests.support.origins import origin
from tests.support.replying import NoReplies
from tests.waiting import wait_until

TOPIC = "search.requests"


class Script:
    """A delivery that fails as scripted, one failure for each try, and then succeeds."""

    commits_offsets = True
    replies: Replying = NoReplies()

    def __init__(self, *failures: BaseException | Callable[[Work], None]) -> None:
        self.failures = list(failures)
        self.tries: list[Work] = []
        self.prepared: list[Work] = []
        self.withdrawn = 0
        self.done: list[Work] = []

    def prepare(self, offsets: Work) -> None:
        self.prepared.append(offsets)

    def withdraw(self) -> None:
        self.withdrawn += 1

    def deliver(self, work: Work) -> None:
        self.tries.append(work)
        if self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, BaseException):
                raise failure
            failure(work)
        self.done.append(work)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "_TRIES_S", (0.0,))


def transient() -> KafkaException:
    return KafkaException(KafkaError(KafkaError._TIMED_OUT))


def work_of(*records: tuple[int, int]) -> Work:
    """Work that answers these records: partition and offset."""
    outgoing = [Outgoing(origin(position=record), "out", None, b"%d" % record[1], []) for record in records]
    return Work(outgoing, {(TOPIC, partition): offset + 1 for partition, offset in records}, [])


def written(works: list[Work]) -> list[tuple[int, int]]:
    return [(outgoing.origin.partition, outgoing.origin.offset) for work in works for outgoing in work.outgoing]


def replacement(outgoing: Outgoing, reason: str) -> Outgoing:
    return structs.replace(outgoing, topic="elsewhere", value=reason.encode())


def committer_of(delivery: Script) -> tuple[Committer, list[Work]]:
    delivered: list[Work] = []
    return Committer(delivery, lambda work, _seconds: delivered.append(work), replacement), delivered


def test_work_is_delivered_in_the_order_it_is_submitted() -> None:
    script = Script()
    committer, delivered = committer_of(script)
    for offset in range(20):
        committer.submit(work_of((0, offset)))
        assert committer.idle(60)
    committer.close()
    assert written(script.done) == [(0, offset) for offset in range(20)]
    assert delivered == script.done


def test_it_tries_again_until_kafka_takes_it() -> None:
    script = Script(*(transient() for _ in range(8)))
    committer, delivered = committer_of(script)
    committer.submit(work_of((0, 1)))
    assert committer.idle(60)
    assert (len(script.tries), written(delivered)) == (9, [(0, 1)])
    committer.close()


@pytest.mark.parametrize("code", [KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID])
def test_a_membership_that_kafka_refuses_is_reported_at_once_and_can_be_renewed(code: int) -> None:
    """The commit was tried for a second with the old membership: partitions that were not to move stood still."""

    def judge(work: Work) -> None:
        if work.membership != "new":
            script.failures.append(judge)
            raise KafkaException(KafkaError(code))

    script = Script(judge)
    committer, delivered = committer_of(script)
    committer.submit(replace(work_of((0, 1)), membership="old"))
    began = time.monotonic()
    assert not committer.idle(600)
    assert time.monotonic() - began < 300, "the refusal was waited out"
    committer.renew({TOPIC: "new"})
    assert committer.idle(60)
    assert [work.membership for work in delivered] == ["new"]
    committer.close()


def test_a_second_work_is_refused_while_the_first_is_in_hand() -> None:
    let = threading.Event()
    committer, _ = committer_of(Script(lambda _: assert_set(let)))
    committer.submit(work_of((0, 1)))
    assert not committer.idle(0.01)
    with pytest.raises(RuntimeError, match="still being committed"):
        committer.submit(work_of((0, 2)))
    let.set()
    assert committer.idle(60)
    committer.close()


def test_lost_partitions_are_left_out_of_the_next_try() -> None:
    script = Script()
    committer, _ = committer_of(script)

    def lose(_: Work) -> None:
        committer.abandon([(TOPIC, 1)])
        raise transient()

    script.failures.append(lose)
    committer.submit(work_of((0, 1), (1, 5), (0, 2)))
    assert committer.idle(60)
    assert written(script.done) == [(0, 1), (0, 2)]
    assert list(script.done[0].offsets) == [(TOPIC, 0)]
    committer.close()


def test_with_all_partitions_lost_nothing_is_tried_any_more() -> None:
    script = Script()
    committer, delivered = committer_of(script)

    def lose(_: Work) -> None:
        committer.abandon([(TOPIC, 0)])
        raise transient()

    script.failures.append(lose)
    committer.submit(work_of((0, 1)))
    assert committer.idle(60)
    assert (len(script.tries), delivered) == (1, [])
    committer.submit(work_of((0, 1)))
    assert committer.idle(60)
    assert written(delivered) == [(0, 1)], "lost once is not lost for ever"
    committer.close()


def test_the_next_try_has_the_renewed_membership() -> None:
    script = Script()
    committer, _ = committer_of(script)

    def renew(_: Work) -> None:
        committer.renew({TOPIC: "new"})
        raise transient()

    script.failures.append(renew)
    committer.submit(replace(work_of((0, 1)), membership="old"))
    assert committer.idle(60)
    assert [work.membership for work in script.tries] == ["old", "new"]
    committer.close()


def test_what_kafka_will_never_take_is_replaced_and_its_neighbours_are_not() -> None:
    script = Script(lambda work: (_ for _ in ()).throw(Unwritable([(work.outgoing[1], "TOO_LARGE")])))
    committer, _ = committer_of(script)
    committer.submit(work_of((0, 1), (0, 2), (0, 3)))
    assert committer.idle(60)
    assert [(outgoing.topic, outgoing.value) for outgoing in script.done[0].outgoing] == [
        ("out", b"1"),
        ("elsewhere", b"TOO_LARGE"),
        ("out", b"3"),
    ]
    committer.close()


def test_being_fenced_surfaces_in_the_serving_thread() -> None:
    committer, delivered = committer_of(Script(transient(), Fenced("taken")))
    committer.submit(work_of((0, 1)))
    with pytest.raises(Fenced, match="taken"):
        committer.idle(60)
    with pytest.raises(Fenced, match="taken"):
        committer.submit(work_of((0, 2)))
    assert delivered == []


def test_a_closed_committer_gives_up_after_the_try_in_hand() -> None:
    script = Script()
    committer, delivered = committer_of(script)

    def close(_: Work) -> None:
        committer.close()
        raise transient()

    script.failures.append(close)
    committer.submit(work_of((0, 1)))
    committer._thread.join(60)
    assert not committer._thread.is_alive()
    assert (len(script.tries), delivered) == (1, [])


def test_what_is_announced_is_prepared_before_it_is_delivered() -> None:
    script = Script()
    committer, _ = committer_of(script)
    committer.announce(work_of((0, 1)))
    wait_until(lambda: script.prepared, what="the preparation")
    assert script.tries == []
    committer.submit(work_of((0, 1)))
    assert committer.idle(60)
    assert (len(script.prepared), written(script.done), script.withdrawn) == (1, [(0, 1)], 0)
    committer.close()


def test_what_was_prepared_is_withdrawn_when_its_batch_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committer_module, "_PREPARED_S", 0.01)
    script = Script()
    committer, _ = committer_of(script)
    committer.announce(work_of((0, 1)))
    wait_until(lambda: script.withdrawn, what="the withdrawal")
    committer.submit(work_of((0, 1)))
    assert committer.idle(60)
    assert written(script.done) == [(0, 1)]
    committer.close()


def test_what_was_prepared_is_withdrawn_when_its_partitions_are_lost() -> None:
    script = Script()
    committer, _ = committer_of(script)
    committer.announce(work_of((0, 1)))
    committer.submit(work_of((0, 1)).without({(TOPIC, 0)}))
    assert committer.idle(60)
    assert (script.withdrawn, script.tries) == (1, [])
    committer.close()


_BATCHES = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(0, 3), st.integers(0, 99)), min_size=1, max_size=6),
        st.integers(0, 3),
        st.sets(st.integers(0, 3), max_size=3),
    ),
    max_size=6,
)


@settings(deadline=None)
@given(_BATCHES)
def test_what_is_delivered_is_what_was_submitted_less_what_was_lost(
    batches: list[tuple[list[tuple[int, int]], int, set[int]]],
) -> None:
    """Each batch: its records, how often Kafka fails, and the partitions lost at the first failure."""
    script = Script()
    committer, _ = committer_of(script)
    expected: list[tuple[int, int]] = []
    for records, failures, lost in batches:

        def lose(_: Work, lost: set[int] = lost) -> None:
            committer.abandon((TOPIC, partition) for partition in lost)
            raise transient()

        script.failures = [lose, *(transient() for _ in range(failures))] if failures else []
        committer.submit(work_of(*records))
        assert committer.idle(60)
        expected += [record for record in records if not failures or record[0] not in lost]
    committer.close()
    assert written(script.done) == expected


class Moments(threading.Condition):
    """A condition that calls `then` when the committer's thread releases it for the nth time."""

    n = 0
    then: Callable[[], None]

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        if threading.current_thread().name == "committer" and self.n:
            self.n -= 1
            if not self.n:
                self.then()


@pytest.mark.parametrize("moment", range(1, 8))
def test_a_batch_that_comes_as_its_transaction_is_withdrawn_is_delivered(
    moment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch computed for longer than its transaction stays open was dropped if it came just after the withdrawal."""
    monkeypatch.setattr(committer_module, "_PREPARED_S", 0.01)
    monkeypatch.setattr(committer_module, "threading", SimpleNamespace(Condition=Moments, Thread=threading.Thread))
    script, first = Script(), threading.Lock()
    committer, delivered = committer_of(script)

    def submit() -> None:
        if first.acquire(blocking=False):
            committer.submit(work_of((0, 1)))

    moments = cast(Moments, committer._state)
    moments.then, moments.n = submit, moment
    committer.announce(work_of((0, 1)))
    if moment > 2:  # up to the second release the batch comes first, so nothing is withdrawn
        wait_until(lambda: script.withdrawn or delivered, what="a transaction that is withdrawn")
    submit()
    assert committer.idle(60)
    assert written(script.done) == [(0, 1)]
    assert delivered == script.done
    committer.close()


def assert_set(event: threading.Event) -> None:
    assert event.wait(60)
