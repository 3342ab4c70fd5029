"""Whatever process dies, no request is lost, none is answered twice, and the answers of each key stay in order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumers.channel.heartbeat import Heartbeat
from standfast.core.status import WorkerStatus
from tests.support.history import RequestHistory
from tests.support.toys.toys import Toys, is_alive
from tests.waiting import wait_until

_TOGETHER = "sleep 0.5"


@pytest.fixture(scope="module")
def toys(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toys]:
    made = Toys(tmp_path_factory.mktemp("failover"), broker, "failover.", ("search",), STANDFAST_SEARCH__STANDBYS="2")
    made.start()
    yield made
    made.stop()


@pytest.fixture
def history(toys: Toys, unique: str) -> Iterator[RequestHistory]:
    toys.whole()
    with RequestHistory(toys.settings, unique) as made:
        yield made


def loading(history: RequestHistory, count: int, rate: float) -> threading.Thread:
    """Sends requests in the background."""
    thread = threading.Thread(target=history.load, args=(count, rate))
    thread.start()
    return thread


def load_with_answers(history: RequestHistory) -> threading.Thread:
    """Sends 400 requests at 100/s in the background; returns after the first fifty answers."""
    load = loading(history, 400, 100)
    wait_until(lambda: len(history.seen) > 50, 60, what="answers before the fault")
    return load


def serving(toys: Toys, number: int) -> WorkerStatus:
    """Worker number `number` of those that serve; waits until there is one."""
    workers = wait_until(toys.active, 60, what="a worker that serves")
    return workers[number % len(workers)]


def computing(toys: Toys, partition: int) -> WorkerStatus | None:
    """The worker that serves this partition, if it is computing a record of it now."""
    for slot in (toys.home / "run" / "slots").iterdir():
        if slot.suffix:
            continue
        heartbeat = Heartbeat(slot)
        seen = heartbeat.read()
        heartbeat.close()
        if seen.tick_age < 0.2 and partition in {number for number, _ in seen.computing}:
            rows = [row for row in toys.active() if partition in row.partitions.get(toys.topic("search.requests"), ())]
            return next((row for row in rows if has_mapped(row.pid, slot)), None)
    return None


def has_mapped(pid: int, file: Path) -> bool:
    """Whether the process lives and has this file in memory: the slot of a worker that was just killed looks alive."""
    try:
        return str(file) in Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return False


def under_load(toys: Toys, history: RequestHistory, how: signal.Signals, times: int) -> None:
    """1,000 requests at 200 per second while `times` workers get the signal, each after the one before was replaced."""
    load = loading(history, 1000, 200)
    for number in range(times):
        before = len(history.seen)
        wait_until(lambda seen=before: len(history.seen) > seen + 50, 60, what="answers before the signal")  # type: ignore[misc]
        victim = serving(toys, number)
        toys.kill(victim.pid, how)
        wait_until(lambda pid=victim.pid: not is_alive(pid), 60, what="the end of the worker")  # type: ignore[misc]
    load.join(120)
    history.exactly_once()


def test_workers_killed_under_load(toys: Toys, history: RequestHistory) -> None:
    under_load(toys, history, signal.SIGKILL, 4)
    toys.whole()


def test_workers_asked_to_stop_under_load(toys: Toys, history: RequestHistory) -> None:
    under_load(toys, history, signal.SIGTERM, 4)
    toys.whole()


@pytest.mark.parametrize("word", ["die", "crash"])
def test_a_record_that_kills_its_worker_is_put_aside_after_the_second_death_or_the_fourth_like_a_kill_from_outside(
    toys: Toys, history: RequestHistory, word: str
) -> None:
    (partition, *_) = serving(toys, 0).partitions[toys.topic("search.requests")]
    history.send(_TOGETHER, partition)  # 0.5 s: the next requests wait behind it and so make one batch
    neighbours = [history.send("before", partition), history.send("before", partition)]
    poison = history.send(word, partition)
    neighbours += [history.send("after", partition), history.send("after", partition)]
    history.exactly_once(besides=(poison,))
    assert history.answers(poison) == []
    assert [len(history.answers(neighbour)) for neighbour in neighbours] == [1, 1, 1, 1]
    letter = history.dead_letter(poison)
    # 2.5: the kernel may have counted no out-of-memory kill at one death, and one at another.
    assert letter["error-reason"].startswith((b"2 workers died while computing it", b"2.5 workers died"))
    assert letter["error-partition"] == b"%d" % partition


def test_a_request_that_was_being_computed_at_three_kills_from_outside_is_answered(
    toys: Toys, history: RequestHistory
) -> None:
    """After two, as random as they were, it was put aside as what had killed its workers."""
    partition = serving(toys, 0).partitions[toys.topic("search.requests")][0]
    died = "records were being computed when their worker died"
    before = toys.logged(died)
    request_id = history.send("sleep 2", partition)
    for kills in range(1, 4):
        victim = wait_until(lambda: computing(toys, partition), 60, what="a worker that computes the request")
        toys.kill(victim.pid)
        wait_until(lambda kills=kills: toys.logged(died) >= before + kills, 60, what="its death in the log")  # type: ignore[misc]
    history.exactly_once()
    assert len(history.answers(request_id)) == 1
    toys.whole()


def test_a_stopped_worker_is_replaced_and_cannot_come_back(toys: Toys, history: RequestHistory) -> None:
    load = loading(history, 400, 100)
    wait_until(lambda: len(history.seen) > 50, 60, what="answers before the worker is stopped")
    victim = serving(toys, 0)
    toys.kill(victim.pid, signal.SIGSTOP)
    wait_until(lambda: not is_alive(victim.pid), 60, what="the end of the stopped worker")
    toys.kill(victim.pid, signal.SIGCONT)
    load.join(120)
    history.exactly_once()
    assert toys.logged("worker hangs and is killed") > 0
    toys.whole((victim.pid,))


def test_a_standby_killed_while_it_takes_over(toys: Toys, history: RequestHistory) -> None:
    load = loading(history, 400, 100)
    victim = serving(toys, 0)
    heirs = [standby.pid for standby in toys.standbys()]
    toys.kill(victim.pid)
    for pid in heirs:
        toys.kill(pid)
    load.join(120)
    history.exactly_once()
    toys.whole((victim.pid, *heirs))


def test_all_workers_killed_at_once(toys: Toys, history: RequestHistory) -> None:
    load = load_with_answers(history)
    gone = toys.pids()
    for pid in gone:
        toys.kill(pid)
    load.join(120)
    history.exactly_once()
    toys.whole(tuple(gone))


def test_the_nursery_killed(toys: Toys, history: RequestHistory) -> None:
    load = load_with_answers(history)
    before, (nursery,) = toys.pids(), toys.nurseries()
    toys.kill(nursery)
    wait_until(lambda: not is_alive(nursery), 20, what="the end of the nursery")
    assert all(is_alive(pid) for pid in before), "its workers serve until those of the next one take over"
    load.join(120)
    history.exactly_once()
    wait_until(lambda: not any(is_alive(pid) for pid in before), 60, what="the end of the nursery's children")
    toys.whole(tuple(before))


def test_a_worker_killed_while_there_is_no_nursery(toys: Toys, history: RequestHistory) -> None:
    load = load_with_answers(history)
    before, (nursery,) = toys.pids(), toys.nurseries()
    toys.kill(nursery)
    toys.kill(toys.active()[0].pid)
    load.join(120)
    history.exactly_once()
    toys.whole(tuple(before))
    assert toys.logged("process ended") >= len(before), "the supervisor hears how adopted processes end"


def test_a_stopped_nursery_is_replaced_and_nobody_waits_for_it(toys: Toys, history: RequestHistory) -> None:
    load = load_with_answers(history)
    gone, (nursery,) = toys.pids(), toys.nurseries()
    toys.kill(nursery, signal.SIGSTOP)
    toys.kill(toys.standbys()[0].pid)
    load.join(120)
    history.exactly_once()
    wait_until(lambda: not is_alive(nursery), 60, what="the end of the stopped nursery")
    toys.whole(tuple(gone))


def test_a_new_model_is_brought_in_under_load(toys: Toys, history: RequestHistory) -> None:
    load = loading(history, 600, 100)
    wait_until(lambda: len(history.seen) > 50, 60, what="answers of the old model")
    (toys.home / "toy-version").write_text("2")
    wait_until(lambda: {worker.model for worker in toys.active()} == {"toy@2"}, 90, what="workers with the new model")
    load.join(120)
    history.exactly_once()
    assert [sighting.model for sighting in history.seen[:10]] == ["toy@1"] * 10
    toys.whole()
