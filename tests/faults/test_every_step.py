"""A worker killed between any two of its steps: no request is lost or doubled, and none blamed that was not computed.

A step is a call with an effect outside its thread (`steps` in `tests.support.mortals`); `moments` there lists them all.
The last test finds steps that are missing there: a new call in a worker's loop needs a line.
"""

from __future__ import annotations

import json
import signal
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from consumers.service import service
from consumers.supervision.aftermath import LOGGED_RECORDS
from standfast.core import clients
from standfast.core.status import WorkerStatus
from tests.support.desk import Desk
from tests.support.guest import Guest
from tests.support.history import RequestHistory
from tests.support.mortals.moments import (
    AT_LEAST_ONCE,
    BULK,
    COMMIT,
    COMPUTING,
    EXACTLY_ONCE,
    IN_DOUBT,
    JOINING,
    LEAVING,
    LONG_BATCH,
    MOVING,
    NOT_DONE,
    REPLYING,
    SOMETIMES,
    STOPPING,
    TAKING_OVER,
    Table,
)
from tests.support.mortals.mortals import Mortals
from tests.support.orders import Death, Order, When
from tests.support.toys.toys import PARTITIONS
from tests.waiting import wait_until


@dataclass
class KillStage:
    """A system whose workers can be ordered to die, and all requests sent to it."""

    mortals: Mortals
    delivery: str
    history: RequestHistory
    bulk: RequestHistory
    replies: RequestHistory
    is_whole: bool = True

    def suspects(self) -> Counter[tuple[int, int]]:
        """The records that the supervisor has blamed for a death so far, and how often; it blames no committed ones."""
        lines = self.mortals.log_file.read_text(errors="replace").splitlines()
        reports = [json.loads(line) for line in lines if "records were being computed when their worker died" in line]
        return Counter((partition, offset) for report in reports for partition, offset in report["places"])

    def check(self, history: RequestHistory) -> None:
        """Asserts that no answer is lost and each key is in order, and that none is doubled where that is promised."""
        if history is self.replies:
            history.at_least_once(60)
            return
        if self.delivery == "at_least_once":
            history.settle(60)
            first = {sighting.request_id: sighting for sighting in reversed(history.seen)}
            history.seen = [sighting for sighting in history.seen if first[sighting.request_id] is sighting]
        history.exactly_once(60)


def staged(delivery: str, broker: str, home: Path) -> Iterator[KillStage]:
    settings = {"STANDFAST_SEARCH__STANDBYS": "2", "STANDFAST_WORKERS__DELIVERY": delivery}
    mortals = Mortals(home, broker, f"every-{delivery.replace('_', '-')}.", ("search",), **settings)
    try:
        mortals.start()
        Desk(mortals.settings).create("replies", PARTITIONS)
        with (
            RequestHistory(mortals.settings, uuid.uuid4().hex) as history,
            RequestHistory(mortals.settings, uuid.uuid4().hex, bulk=True) as bulk,
            RequestHistory(mortals.settings, uuid.uuid4().hex, replies=mortals.topic("replies")) as replies,
        ):
            yield KillStage(mortals, delivery, history, bulk, replies)
    finally:
        mortals.stop()


@pytest.fixture(scope="module")
def stage(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KillStage]:
    yield from staged("exactly_once", broker, tmp_path_factory.mktemp("stage"))


@pytest.fixture(scope="module")
def second_stage(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KillStage]:
    yield from staged("at_least_once", broker, tmp_path_factory.mktemp("second"))


def every(*tables: Table) -> pytest.MarkDecorator:
    """One test for each moment in these tables."""
    rows = [(step, when) for table in tables for step, whens in table.items() for when in whens]
    return pytest.mark.parametrize(("step", "when"), rows, ids=[f"{when} {step}" for step, when in rows])


def with_bulk(mortals: Mortals) -> WorkerStatus:
    """A worker that serves bulk requests too, which it begins a second after its takeover."""
    bulk = mortals.topic("search.requests.bulk")
    return wait_until(lambda: next((worker for worker in mortals.active() if worker.partitions.get(bulk)), None), 30)


@contextmanager
def cause(mortals: Mortals, order: Order) -> Iterator[None]:
    """Gives the order, and makes a process come to the step."""
    if order.step in MOVING:
        shared_out(mortals, order.step)
        with guest_for(mortals, order.step) as guest:
            if "on_assign" in order.step:  # comes when the workers get the guest's partitions back
                guest.settle()
            mortals.order(order)
            if "on_assign" in order.step:
                guest.leave()
            yield
    elif order.step in JOINING | LEAVING:
        if order.step in JOINING:
            to_one_worker(mortals)
        else:
            shared_out(mortals, order.step)
        mortals.order(order)
        mortals.scale(2 if order.step in JOINING else 1)
        yield
        mortals.scale(2)
    else:
        mortals.order(order)
        strike(mortals, order.step)
        yield


def to_one_worker(mortals: Mortals) -> None:
    """Returns when one worker is left, with the partitions of both."""
    topic = mortals.topic("search.requests")
    mortals.scale(1)
    wait_until(
        lambda: [len(worker.partitions.get(topic, ())) for worker in mortals.active()] == [PARTITIONS],
        30,
        what="one worker with all partitions",
    )


def shared_out(mortals: Mortals, step: str) -> None:
    """Returns when living workers have all partitions, and each worker has some.

    Before that, a guest could get a dead worker's partitions, so that no worker revokes any, and a worker that leaves
    could have none to give up.
    """
    topic = mortals.topic("search.requests.bulk" if "Bulk" in step else "search.requests")

    def shares() -> list[int]:
        return sorted(len(worker.partitions.get(topic, ())) for worker in mortals.active())

    wait_until(lambda: sum(shares()) == PARTITIONS and 0 not in shares(), 60, what=f"workers that share {topic}")


def guest_for(mortals: Mortals, step: str) -> Guest:
    """A guest in the consumer group whose partitions are to move."""
    search = service("search", mortals.settings)
    group, topic = (search.bulk_group, search.bulk_requests) if "Bulk" in step else (search.group, search.requests)
    return Guest(clients.consumer(mortals.settings, "guest", group), topic)


def strike(mortals: Mortals, step: str) -> None:
    """Kills or stops the process whose end makes another come to the step; most steps need none."""
    phase = step.partition(": ")[0]
    if phase == "start" or step == "reply-topics: AdminClient":
        mortals.kill(mortals.standbys()[0].pid)
    elif phase == "stand by":
        mortals.kill(mortals.standbys()[0].pid, signal.SIGTERM)
    elif step in STOPPING:
        mortals.kill(with_bulk(mortals).pid, signal.SIGTERM)
    elif phase == "orders" or step in TAKING_OVER | BULK:
        mortals.kill(mortals.active()[0].pid)


def died(stage: KillStage, order: Order, query: str = "sleep 0.002", every_s: float = 0.005) -> Death:
    """The death that was ordered, under load. Asserts that all requests are answered and only computed ones blamed."""
    assert stage.is_whole, "an earlier test has left it broken"
    mortals, deadline, stage.is_whole = stage.mortals, time.monotonic() + 60, False
    before, history = stage.suspects(), stage.bulk if "Bulk" in order.step else stage.history
    if order.step in REPLYING:
        history = stage.replies
    try:
        with cause(mortals, order):
            while (death := mortals.death()) is None:
                assert time.monotonic() < deadline, f"nobody came to the step {order.step!r}; is it still there?"
                history.send(query)
                time.sleep(every_s)
    finally:
        mortals.withdraw()
    for _ in range(16):
        history.send("and who comes after it serves")
    stage.check(history)
    mortals.whole((death.pid,))
    stage.is_whole = True
    blamed = stage.suspects() - before
    computing = Counter(dict.fromkeys(death.computing[:LOGGED_RECORDS], 1))
    if order.step.startswith("commit"):  # in another thread: the model may have finished before the death
        assert blamed in (computing, Counter())
    else:
        assert blamed == computing
    assert death.asked in {-1, len(death.computing)}, "the heartbeat names what the model was asked, and nothing else"
    return death


@every(EXACTLY_ONCE)
def test_a_worker_killed(stage: KillStage, step: str, when: When) -> None:
    death = died(stage, Order(step, when))
    if step.startswith("serve"):
        assert bool(death.computing) == ((step, when) in COMPUTING), death


@every(REPLYING)
def test_a_worker_killed_while_it_sends_replies(stage: KillStage, step: str, when: When) -> None:
    """Replies are not part of the transaction: each answer is in the reply topic or in the result topic."""
    died(stage, Order(step, when))


@every(LONG_BATCH)
def test_a_worker_killed_while_its_batch_takes_long(stage: KillStage, step: str, when: When) -> None:
    assert died(stage, Order(step, when), "sleep 0.3", 0.5).computing != []


@every(IN_DOUBT)
def test_a_worker_killed_while_it_does_not_know_whether_it_has_committed(
    stage: KillStage, step: str, when: When
) -> None:
    died(stage, Order(step, when, fails=COMMIT))


@every(IN_DOUBT | NOT_DONE)
def test_a_worker_killed_while_it_tries_again(stage: KillStage, step: str, when: When) -> None:
    died(stage, Order(step, when, fails=COMMIT, done=False))


@every(AT_LEAST_ONCE)
def test_a_worker_killed_that_may_answer_twice(second_stage: KillStage, step: str, when: When) -> None:
    died(second_stage, Order(step, when))


@every(MOVING, JOINING, LEAVING)
def test_a_worker_killed_while_partitions_move(stage: KillStage, step: str, when: When) -> None:
    assert died(stage, Order(step, when)).computing == []


def test_no_step_is_forgotten(stage: KillStage) -> None:
    """Of all steps that workers took in the tests above, and in a run in which no process is killed."""
    mortals, history = stage.mortals, stage.history
    for step in ("Consumer", "Bulk"):
        with guest_for(mortals, step) as guest:
            history.load(50, 200)
            guest.settle()
    stage.bulk.load(50, 200)
    stage.replies.load(50, 200)
    to_one_worker(mortals)
    mortals.scale(2)
    mortals.whole()
    mortals.kill(mortals.standbys()[0].pid, signal.SIGTERM)
    worker = with_bulk(mortals)
    mortals.kill(worker.pid, signal.SIGTERM)
    history.send("sleep 0.3")
    stage.check(history)
    mortals.whole((worker.pid,))
    tables = EXACTLY_ONCE | REPLYING | MOVING | JOINING | LEAVING | LONG_BATCH | IN_DOUBT | NOT_DONE
    forgotten = mortals.steps() - set(tables) - SOMETIMES
    assert not forgotten, (
        f"no test kills workers at these steps; add them to tests/support/mortals/moments.py: {forgotten}"
    )
