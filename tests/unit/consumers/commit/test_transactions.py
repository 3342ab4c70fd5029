"""What a worker does when a transaction fails, with a scripted producer: nothing is lost, half done or done twice."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition
from structlog.testing import capture_logs

from consumers.commit import transactions
from consumers.commit.at_least_once import AtLeastOnce
from consumers.commit.transactions import ExactlyOnce
from consumers.commit.work import Delivery, Unwritable, Work
from consumers.requests.answers import Outgoing
from standfast.core import backoff
from standfast.core.errors import Fenced, NotInitialised
from tests.support.origins import origin
from tests.support.replying import NoReplies

TOPIC = "search.requests"


def error(code: int, abort: bool = False, fatal: bool = False) -> KafkaException:
    return KafkaException(KafkaError(code, "scripted", fatal, False, abort))


TIMED_OUT = error(KafkaError._TIMED_OUT)
Script = dict[str, list[KafkaException | threading.Event]]


class ScriptedProducer:
    """Records its calls. A call named in the script fails, or blocks until an event, once for each entry."""

    def __init__(self, script: Script, says: dict[str, int], brokers: int) -> None:
        self.calls: list[str] = []
        self.purged = False
        self.brokers = brokers
        self._script = script
        self._says = says
        self._reports: list[Callable[[], None]] = []
        self.patience: list[float] = []

    def init_transactions(self, timeout: float) -> None:
        self.patience.append(timeout)
        self._call("init")

    def begin_transaction(self) -> None:
        self._call("begin")

    def produce(self, topic: str, *_: object, on_delivery: Any = None, **__: object) -> None:
        self._call(f"produce {topic}")
        if on_delivery is not None:
            code = self._says.get(topic)
            self._reports.append(lambda: on_delivery(KafkaError(code) if code else None, None))

    def send_offsets_to_transaction(self, positions: list[TopicPartition], membership: object, _timeout: float) -> None:
        self._call(f"offsets {[(position.partition, position.offset) for position in positions]} {membership}")

    def commit_transaction(self, timeout: float) -> None:
        self.flush(timeout)
        self._call("commit")

    def abort_transaction(self, timeout: float) -> None:
        self.flush(timeout)
        self._call("abort")

    def flush(self, _timeout: float) -> int:
        for report in self._reports:
            report()
        self._reports.clear()
        return 0

    def poll(self, _timeout: float) -> int:
        return 0

    def purge(self) -> None:
        self.purged = True

    def list_topics(self, **_: object) -> Any:
        failures = self._script.get("list")
        if failures:
            raise cast(KafkaException, failures.pop())
        return SimpleNamespace(brokers=dict.fromkeys(range(self.brokers)))

    def __len__(self) -> int:
        return 0

    def _call(self, name: str) -> None:
        self.calls.append(name)
        failures = self._script.get(name.partition(" ")[0])
        failure = failures.pop(0) if failures else None
        if isinstance(failure, threading.Event):
            failure.wait(60)
        elif failure is not None:
            raise failure


class TransactionStage:
    """An ExactlyOnce with scripted producers. `committed` are the group's offsets in Kafka."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.script: Script = {}
        self.brokers = 3
        self.says: dict[str, int] = {}
        self.producers: list[ScriptedProducer] = []
        self.retried: list[str] = []
        self.committed: dict[int, int] = {}
        self.unanswered: list[Exception] = []
        self.unstable: list[KafkaError] = []
        monkeypatch.setattr(transactions, "AdminClient", lambda _: self)
        monkeypatch.setattr(backoff, "_TRIES_S", (0.0,))
        self.delivery = ExactlyOnce(self.build, lambda _: "group", {}, self.retried.append, NoReplies())

    def has_one_broker(self) -> None:
        self.brokers = self.producers[0].brokers = 1

    def build(self) -> Producer:
        self.producers.append(ScriptedProducer(self.script, self.says, self.brokers))
        return cast(Producer, self.producers[-1])

    def list_consumer_group_offsets(self, queries: list[Any], **_: object) -> dict[str, Future[Any]]:
        future: Future[Any] = Future()
        if self.unanswered:
            future.set_exception(self.unanswered.pop())
            return {"group": future}
        offsets = [
            SimpleNamespace(
                topic=partition.topic,
                partition=partition.partition,
                offset=self.committed.get(partition.partition, -1001),
                error=self.unstable.pop() if self.unstable else None,
            )
            for partition in queries[0].topic_partitions
        ]
        future.set_result(SimpleNamespace(topic_partitions=offsets))
        return {"group": future}


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> TransactionStage:
    return TransactionStage(monkeypatch)


def answer(topic: str = "results", offset: int = 4) -> Outgoing:
    return Outgoing(origin(position=(0, offset)), topic, None, b"", [])


WORK = Work([answer(offset=4), answer(offset=5)], {(TOPIC, 0): 6, (TOPIC, 3): 9}, [], "member")
OFFSETS = "offsets [(0, 6), (3, 9)] member"
ONCE = ["begin", OFFSETS, "produce results", "produce results", "commit"]


def test_answers_and_offsets_go_in_one_transaction(stage: TransactionStage) -> None:
    stage.delivery.deliver(WORK)
    assert [producer.calls for producer in stage.producers] == [ONCE]


AHEAD = Work([], WORK.offsets, [], "member")


def test_offsets_may_go_ahead_of_the_answers(stage: TransactionStage) -> None:
    stage.delivery.prepare(AHEAD)
    assert stage.producers[0].calls == ONCE[:2]
    stage.delivery.deliver(WORK)
    stage.delivery.deliver(WORK)
    assert stage.producers[0].calls == ONCE * 2, "what was prepared is used once"


def test_a_transaction_prepared_for_other_offsets_is_not_used(stage: TransactionStage) -> None:
    stage.delivery.prepare(Work([], {(TOPIC, 0): 6}, [], "member"))
    stage.delivery.deliver(WORK)
    assert stage.producers[0].calls == ["begin", "offsets [(0, 6)] member", "abort", *ONCE]


def test_a_prepared_transaction_can_be_withdrawn_once(stage: TransactionStage) -> None:
    stage.delivery.prepare(AHEAD)
    stage.delivery.withdraw()
    stage.delivery.withdraw()
    assert stage.producers[0].calls == [*ONCE[:2], "abort"]
    stage.delivery.deliver(WORK)
    assert stage.producers[0].calls[3:] == ONCE


@pytest.mark.parametrize("step", ["begin", "offsets"])
def test_a_preparation_that_fails_leaves_nothing_behind(stage: TransactionStage, step: str) -> None:
    stage.script[step] = [error(KafkaError.ILLEGAL_GENERATION, abort=True)]
    stage.delivery.prepare(AHEAD)
    stage.delivery.deliver(WORK)
    assert stage.producers[0].calls[-6:] == ["abort", *ONCE]


def test_a_withdrawal_that_times_out_is_in_doubt(stage: TransactionStage) -> None:
    stage.script["abort"] = [TIMED_OUT]
    stage.delivery.prepare(AHEAD)
    stage.delivery.withdraw()
    stage.delivery.deliver(WORK)
    assert stage.producers[1].calls == ["init", *ONCE]


@pytest.mark.parametrize("step", ["begin", "offsets"])
def test_being_fenced_is_said_while_preparing_too(stage: TransactionStage, step: str) -> None:
    stage.script[step] = [error(KafkaError._FENCED, fatal=True)]
    with pytest.raises(Fenced):
        stage.delivery.prepare(AHEAD)


@pytest.mark.parametrize("step", ["offsets", "commit"])
def test_an_abortable_error_is_aborted_and_the_same_producer_goes_on(stage: TransactionStage, step: str) -> None:
    stage.script[step] = [error(KafkaError.ILLEGAL_GENERATION, abort=True)]
    with pytest.raises(KafkaException):
        stage.delivery.deliver(WORK)
    stage.delivery.deliver(WORK)
    (producer,) = stage.producers
    assert producer.calls[-6:] == ["abort", *ONCE]
    assert stage.retried == ["ILLEGAL_GENERATION"]


def test_after_a_time_out_of_a_commit_a_new_producer_fences_the_old(stage: TransactionStage) -> None:
    stage.script["commit"] = [TIMED_OUT]
    with pytest.raises(KafkaException):
        stage.delivery.deliver(WORK)
    stage.delivery.deliver(WORK)
    old, new = stage.producers
    assert old.calls == ONCE
    assert new.calls == ["init", *ONCE], "it had not gone through, so it is done again"


def test_a_commit_in_doubt_that_had_gone_through_is_not_done_again(stage: TransactionStage) -> None:
    stage.script["commit"] = [TIMED_OUT]
    with pytest.raises(KafkaException):
        stage.delivery.deliver(WORK)
    stage.committed = {0: 6, 3: 9}
    stage.delivery.deliver(WORK)
    assert stage.producers[1].calls == ["init"]
    stage.committed = {0: 100, 3: 100}
    stage.delivery.deliver(WORK)
    assert stage.producers[1].calls == ["init", *ONCE], "the doubt is settled once"


@pytest.mark.parametrize("committed", [{0: 6}, {0: 6, 3: 8}, {3: 9}])
def test_a_commit_in_doubt_counts_as_gone_through_only_as_a_whole(
    stage: TransactionStage, committed: dict[int, int]
) -> None:
    stage.script["commit"] = [TIMED_OUT]
    with pytest.raises(KafkaException):
        stage.delivery.deliver(WORK)
    stage.committed = committed
    stage.delivery.deliver(WORK)
    assert stage.producers[1].calls == ["init", *ONCE]


@pytest.mark.parametrize("failure", [TIMED_OUT, TimeoutError()])
def test_the_doubt_remains_while_kafka_does_not_answer(stage: TransactionStage, failure: Exception) -> None:
    """Futures time out with TimeoutError, which is no KafkaException: it ended the worker."""
    stage.script["commit"] = [TIMED_OUT]
    with pytest.raises(KafkaException):
        stage.delivery.deliver(WORK)
    stage.unanswered.append(failure)
    with pytest.raises(KafkaException):
        stage.delivery.deliver(WORK)
    stage.committed = {0: 6, 3: 9}
    stage.delivery.deliver(WORK)
    assert stage.producers[1].calls == ["init"]


def test_offsets_that_are_not_stable_yet_settle_nothing(stage: TransactionStage) -> None:
    """Unstable offsets come without a value. Taken for "none", they had a committed batch written again."""
    stage.script["commit"] = [TIMED_OUT]
    with pytest.raises(KafkaException):
        stage.delivery.deliver(WORK)
    stage.unstable.append(KafkaError(KafkaError.UNSTABLE_OFFSET_COMMIT))
    with pytest.raises(KafkaException):
        stage.delivery.deliver(WORK)
    stage.committed = {0: 6, 3: 9}
    stage.delivery.deliver(WORK)
    assert stage.producers[1].calls == ["init"]


def test_offsets_that_stay_unstable_are_told_of(stage: TransactionStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka 4.3 forgets to end transactions: only a person can, and the log says so."""
    monkeypatch.setattr(transactions, "_HANGING_S", 0.0)
    stage.script["commit"] = [TIMED_OUT]
    stage.unstable = [KafkaError(KafkaError.UNSTABLE_OFFSET_COMMIT)] * 4
    with capture_logs() as logs:
        for _ in range(3):
            with pytest.raises(KafkaException):
                stage.delivery.deliver(WORK)
    told = [line for line in logs if line["event"] == "kafka has left a transaction open"]
    assert [(line["group"], line["topic"], line["partition"]) for line in told] == [("group", TOPIC, 0)]


def test_an_abort_that_times_out_is_in_doubt_too(stage: TransactionStage) -> None:
    stage.script |= {"commit": [error(KafkaError.ILLEGAL_GENERATION, abort=True)], "abort": [TIMED_OUT]}
    with pytest.raises(KafkaException):
        stage.delivery.deliver(WORK)
    stage.delivery.deliver(WORK)
    assert stage.producers[0].calls == [*ONCE, "abort"]
    assert stage.producers[1].calls == ["init", *ONCE]


def test_offsets_that_never_come_back_are_given_up_with_their_producer(
    stage: TransactionStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the coordinator had left the cluster, librdkafka waited for it for ever, and so did the worker."""
    monkeypatch.setattr(transactions, "_OFFSETS_S", 0.05)
    never = threading.Event()
    stage.script["offsets"] = [never]
    stage.delivery.connect()
    with pytest.raises(KafkaException):
        stage.delivery.deliver(WORK)
    stage.delivery.deliver(WORK)
    never.set()
    assert stage.producers[0].calls == ["init", *ONCE[:2]]
    assert stage.producers[1].calls == ["init", *ONCE], "Kafka is not asked: no commit was under way"


def test_with_several_brokers_a_producer_that_finds_no_coordinator_is_replaced_soon(
    stage: TransactionStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first connection may have to wait until Kafka has started; later ones are made because a broker is gone."""
    monkeypatch.setattr(transactions, "_RECONNECT_S", 0.0)
    stage.script["init"] = [TIMED_OUT] * 2
    stage.delivery.connect()
    assert len(stage.producers) == 1, "a coordinator that has not answered is asked again"
    stage.script["init"] = [TIMED_OUT]
    stage.delivery.connect()
    assert len(stage.producers) == 2


def test_a_producer_that_is_refused_is_replaced_at_once(stage: TransactionStage) -> None:
    """Kafka first ends the identity's last transaction, in a few ms; librdkafka would ask again only after 500 ms."""
    stage.script["init"] = [error(KafkaError.CONCURRENT_TRANSACTIONS)]
    stage.delivery.connect()
    assert [producer.calls for producer in stage.producers] == [["init"], ["init"]]
    assert max(stage.producers[0].patience) < 0.1, "the refusal is not known before the call is over"


def test_with_one_broker_too_offsets_that_never_come_back_are_given_up(
    stage: TransactionStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker was stopped for longer than the session: the worker waited for ever, though Kafka had gone on."""
    monkeypatch.setattr(transactions, "_ONE_BROKER_S", 0.05)
    stage.has_one_broker()
    never = threading.Event()
    stage.script["offsets"] = [never]
    stage.delivery.connect()
    with pytest.raises(KafkaException):
        stage.delivery.deliver(WORK)
    stage.delivery.deliver(WORK)
    never.set()
    assert stage.producers[1].calls == ["init", *ONCE]


def test_a_single_broker_that_came_back_is_asked_by_a_new_client_before_the_calls_own_time_out(
    stage: TransactionStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the broker's death each call that was under way made answers 11 s late."""
    assert max(transactions._ONE_BROKER_S, transactions._OFFSETS_S) < transactions.TIMEOUT_S / 4
    monkeypatch.setattr(transactions, "_ONE_BROKER_S", 0.0)
    stage.has_one_broker()
    stage.delivery.connect()
    stage.script["init"] = [TIMED_OUT]
    stage.delivery.connect()
    assert [producer.calls for producer in stage.producers] == [["init", "init"], ["init"]]


def test_only_the_first_client_of_all_is_given_the_time_to_start_kafka(
    stage: TransactionStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "_RECONNECT_S", 0.0)
    stage.script["init"] = [TIMED_OUT, error(KafkaError.COORDINATOR_NOT_AVAILABLE), TIMED_OUT]
    stage.delivery.connect()
    first, second, third = (producer.calls for producer in stage.producers)
    assert first == ["init", "init"], "asked again, then refused"
    assert (second, third) == (["init"], ["init"]), "replaced though nobody refused"


def test_an_outage_however_long_does_not_make_the_waits_after_it_longer(
    stage: TransactionStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[int] = []
    monkeypatch.setattr(backoff, "wait", waits.append)
    stage.has_one_broker()
    stage.script["list"] = [error(KafkaError._TRANSPORT) for _ in range(20)]
    stage.script["init"] = [error(KafkaError.NOT_COORDINATOR)]
    stage.delivery.connect()
    assert len(waits) == 22
    assert max(waits[:21]) <= 3
    assert waits[21] == 4


def test_transactions_are_initialised_until_it_works_with_a_new_producer_each_time(stage: TransactionStage) -> None:
    stage.script["init"] = [error(KafkaError.COORDINATOR_NOT_AVAILABLE)] * 2
    stage.delivery.connect()
    assert [producer.calls for producer in stage.producers] == [["init"]] * 3


def test_a_worker_whose_transactions_kafka_does_not_initialise_ends_so_that_a_standby_takes_over(
    stage: TransactionStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tried for ever and kept its partitions, with the state "serving"."""
    monkeypatch.setattr(transactions, "_INITIALISE_S", 0.05)
    stage.script["init"] = [error(KafkaError.CONCURRENT_TRANSACTIONS) for _ in range(100_000)]
    with pytest.raises(NotInitialised, match="for 0 s"):
        stage.delivery.connect()
    assert len(stage.producers) > 1


def test_while_kafka_is_away_as_a_whole_transactions_are_tried_on(
    stage: TransactionStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "_INITIALISE_S", 0.0)
    stage.script["list"] = [error(KafkaError._TRANSPORT) for _ in range(20)]
    stage.delivery.connect()
    assert [producer.calls for producer in stage.producers] == [[]] * 20 + [["init"]]


@pytest.mark.parametrize(
    "code",
    [KafkaError._FENCED, KafkaError._FATAL, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.FENCED_INSTANCE_ID],
)
@pytest.mark.parametrize("step", ["begin", "offsets", "produce", "commit"])
def test_being_fenced_is_said_and_nothing_more_is_tried(stage: TransactionStage, code: int, step: str) -> None:
    stage.script[step] = [error(code, fatal=code == KafkaError._FENCED)]
    with pytest.raises(Fenced, match="another process answers"):
        stage.delivery.deliver(WORK)
    assert len(stage.producers) == 1
    assert "abort" not in stage.producers[0].calls


def test_a_record_too_large_is_found_though_the_commit_only_times_out(stage: TransactionStage) -> None:
    """The commit times out if other records wait behind it in the same partition."""
    stage.says["large"] = KafkaError.MSG_SIZE_TOO_LARGE
    stage.script["commit"] = [TIMED_OUT, TIMED_OUT]
    large = answer("large")
    with pytest.raises(KafkaException):
        stage.delivery.deliver(Work([large, answer()], {(TOPIC, 0): 6}, []))
    with pytest.raises(Unwritable) as caught:
        stage.delivery.deliver(Work([large, answer()], {(TOPIC, 0): 6}, []))
    assert caught.value.records == [(large, "MSG_SIZE_TOO_LARGE")]


@pytest.mark.parametrize(
    ("code", "expected"),
    [(KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaException), (KafkaError.MSG_SIZE_TOO_LARGE, Unwritable)],
)
def test_our_own_topic_that_takes_nothing_is_waited_for_but_not_for_a_record_too_large(
    stage: TransactionStage, code: int, expected: type[Exception]
) -> None:
    stage.says["results"] = code
    stage.script["commit"] = [error(code, abort=True) for _ in range(2)]
    with pytest.raises(KafkaException):
        stage.delivery.deliver(WORK)
    with pytest.raises(expected):
        stage.delivery.deliver(WORK)


def test_a_record_the_client_itself_refuses_is_found_too(stage: TransactionStage) -> None:
    stage.script["produce"] = [error(KafkaError.MSG_SIZE_TOO_LARGE) for _ in range(2)]
    with pytest.raises(KafkaException):
        stage.delivery.deliver(WORK)
    with pytest.raises(Unwritable):
        stage.delivery.deliver(WORK)
    assert stage.producers[0].calls == ["begin", OFFSETS, "produce results", "abort"] * 2


def least(says: dict[str, int]) -> tuple[Delivery, ScriptedProducer]:
    producer = ScriptedProducer({}, says, 1)
    return AtLeastOnce(lambda: cast(Producer, producer), NoReplies()), producer


def test_at_least_once_waits_for_every_answer() -> None:
    delivery, producer = least({})
    delivery.deliver(WORK)
    assert producer.calls == ["produce results", "produce results"]


@pytest.mark.parametrize(
    ("code", "expected"), [(KafkaError._MSG_TIMED_OUT, KafkaException), (KafkaError.MSG_SIZE_TOO_LARGE, Unwritable)]
)
def test_at_least_once_says_what_was_not_taken(code: int, expected: type[Exception]) -> None:
    delivery, _ = least({"results": code})
    with pytest.raises(expected):
        delivery.deliver(WORK)


def test_work_without_lost_partitions_keeps_the_rest() -> None:
    left = WORK.without({(TOPIC, 0)})
    assert (left.outgoing, dict(left.offsets), left.membership) == ([], {(TOPIC, 3): 9}, "member")
    assert WORK.without({(TOPIC, 1), ("other", 0)}) is WORK
