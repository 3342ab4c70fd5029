"""The life of one worker process: warm up, stand by, take over an identity, serve, end.

A standby has everything that a worker needs, except an identity: its model is warm, its own transactional producer is
initialised, and a consumer is connected for each identity that it may be given (see `seats`).
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any, cast

import structlog
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from consumers.catalogue.changes import CatalogueChanges
from consumers.channel.disturbance import disturbance_file
from consumers.channel.heartbeat import Heartbeat
from consumers.channel.life_lock import LifeLock
from consumers.channel.loop_steps import LoopSteps, loop_file
from consumers.channel.messages import (
    TO_WORKER,
    Activate,
    CanaryOrder,
    CheckWeights,
    Cleared,
    Done,
    Failed,
    Failing,
    Leave,
    Left,
    LoadReport,
    Ready,
    Recreated,
    Serving,
    StopOrder,
    Suspected,
    Waiting,
    offer,
    receive,
    send,
)
from consumers.commit.at_least_once import AtLeastOnce
from consumers.commit.partition_counts import PartitionCounts
from consumers.commit.replies import Replies
from consumers.commit.transactions import ExactlyOnce
from consumers.commit.work import Delivery
from consumers.following import bulletin
from consumers.process.model_health import ModelHealth
from consumers.process.rehearsal import rehearse
from consumers.process.seats import Seats
from consumers.requests.admission import Admission
from consumers.requests.answers import Answers
from consumers.requests.histories import ProfileHistories
from consumers.service import Service
from consumers.serving.batches import Batches
from consumers.serving.breaker import Ask, Breaker
from consumers.serving.cache import Cache
from consumers.serving.canary_routing import CanaryRouting
from consumers.serving.challenger import Challenger
from consumers.serving.side_by_side import SideBySide, TimedModel
from consumers.serving.suspects import KnownSuspects
from consumers.serving.worker import Partitions, Worker
from models.base import Changeable, LoadedModels, Model
from models.canary import Versions
from models.weights import Weights
from schemas.configured import codec_for
from schemas.records import Result
from standfast.core import clients, logs, telemetry
from standfast.core.errors import DeviceLost, Fenced, StandfastError, WeightsDamaged
from standfast.core.home import folder
from standfast.core.services import spec_of
from standfast.core.settings import Settings

_log = structlog.get_logger()
_TICK_S = 0.05  # the heartbeat's interval; the supervisor's limit for its age is `hang_after_ms`
_SPARE_SEATS_S = 1.0  # the spare consumers are closed this late: closing them takes processor time from the takeover
# Python's switch interval, 5 ms by default: how long a thread waits for the interpreter lock while another computes.
_SWITCH_S = 0.0005
_STANDBY_S = 0.1  # how often a standby looks whether products changed


def slot_file(slot: str) -> Path:
    """The path of a slot's heartbeat file."""
    return folder("run", "slots") / slot


def life_file(slot: str) -> Path:
    """The path of the lock that a slot's process holds while it lives."""
    return folder("run", "slots") / f"{slot}.life"


def steps_file(slot: str) -> Path:
    """The path of the file with the last step of a slot's loop."""
    return loop_file(folder("run", "slots"), slot)


def suspects_file(service: Service) -> Path:
    """The path of a service's file of suspects."""
    return folder("run") / f"suspects-{service.name}.json"


def transactional_id(service: Service, slot: str) -> str:
    """The transactional id of a slot. Slots are reused, so a restarted system fences all its earlier transactions."""
    return f"{service.group}.{slot}"


class WorkerProcess:
    """One worker process, from its start to its exit status."""

    def __init__(
        self,
        slot: str,
        channel: socket.socket,
        service: Service,
        models: LoadedModels,
        settings: Settings,
        weights: Weights,
    ) -> None:
        self._slot = slot
        self._channel = channel
        self._service = service
        self._models = models
        self._model = model = models.champion
        self._settings = settings
        self._heartbeat = Heartbeat(slot_file(slot))
        self._steps = LoopSteps(steps_file(slot))
        self._life = LifeLock(life_file(slot))
        file = disturbance_file(folder("run", "slots"), slot)
        self._health = ModelHealth(models, weights, settings.workers.check_weights_s, file)
        self._orders = threading.Condition()
        self._suspects = KnownSuspects()
        self._identity: str | None = None
        self._stopping = False
        self._worker: Worker | None = None
        self._codec = codec_for(settings, sent={service.kind: service.requests}, answers={Result: service.results})
        self._histories: ProfileHistories | None = None
        self._catalogues: list[CatalogueChanges] = []
        self._canary: CanaryRouting | None = None
        counts = PartitionCounts(lambda: AdminClient(clients.base(settings, f"{slot}.replies")))
        self._answers = Answers(service, self._codec, slot, model.label, counts)
        self._replies = Replies(lambda: Producer(clients.replies(settings, slot)), counts, self._answers)

    def run(self) -> int:
        """Runs until stopped; returns the exit status: 0 stopped in order, else failed; the reason is sent and logged.

        With damaged weights, or a device that is lost, the process ends at once: `WeightsDamaged`, `DeviceLost`.
        """
        self._heartbeat.reset()
        self._steps.reset()
        self._life.hold()
        self._health.start(self._damaged)
        threading.Thread(target=self._obey, name="orders", daemon=True).start()
        threading.Thread(target=self._tick, name="tick", daemon=True).start()
        signal.signal(signal.SIGTERM, lambda *_: self._stop())
        try:
            delivery = self._warm_up()
            batches = self._batches()
            seats = Seats(self._service, self._settings, self._slot)
            seats.connect()
            send(self._channel, Ready(seats.identities))
            identity = self._wait_for_identity()
            if identity is not None:
                self._serve(identity, seats, delivery, batches)
            seats.close()
        except Fenced as error:
            return self._failed(str(error))
        except DeviceLost as error:
            self._failed(str(error))
            os._exit(error.exit_code)  # torch's own clean-up would wait for the device
        except (StandfastError, KafkaException) as error:
            return self._failed(f"{type(error).__name__}: {error}")
        return 0

    def _failed(self, reason: str) -> int:
        _log.error("worker ends", reason=reason)
        send(self._channel, Failed(reason[:2000]))
        return 1

    def _damaged(self, damage: str) -> None:
        """Ends the process before it writes another answer. What it is computing is not to blame."""
        reason = f"{self._model.label} is damaged in memory and answers nothing more: {damage}"
        offer(self._channel, Failed(reason, damaged=True))
        self._heartbeat.end()
        _log.error("worker ends", reason=reason)
        os._exit(WeightsDamaged.exit_code)

    def _warm_up(self) -> Delivery:
        self._model.warm_up()
        if spec_of(self._service.name).histories:
            self._histories = ProfileHistories(bulletin.store_folder("profiles"))
            self._histories.start()
        delivery = self._delivery()
        self._replies.connect((self._service.results, self._service.bulk_results))
        return delivery

    def _delivery(self) -> Delivery:
        if self._settings.workers.delivery == "at_least_once":
            return AtLeastOnce(lambda: Producer(clients.producer(self._settings, self._slot)), self._replies)
        config = clients.transactional(self._settings, self._slot, transactional_id(self._service, self._slot))
        requests = self._service.requests
        delivery = ExactlyOnce(
            lambda: Producer(config),
            self._service.group_of,
            clients.base(self._settings, self._slot),
            lambda reason: telemetry.COMMIT_RETRIES.labels(requests, reason).inc(),
            self._replies,
        )
        delivery.connect()
        return delivery

    def _batches(self) -> Batches:
        """Everything that computes a batch, after one rehearsal."""
        refusal = getattr(self._model, "refusal", None)
        admission = Admission(self._service, self._settings, self._codec, self._histories, refusal)
        rehearse(self._service, self._model, admission, self._answers)
        self._rehearse_challenger(admission)
        ask, label = self._ask(), self._model.label
        batches = Batches(admission, ask, self._answers, self._heartbeat, self._suspects, label, self._canary)
        batches.tally(self._service.requests)
        return batches

    def _rehearse_challenger(self, admission: Admission) -> None:
        """Warms the challenger up; one that fails in it leaves the champion its worker."""
        if self._models.challenger is None:
            return
        self._heartbeat.challenge(True)
        try:
            self._models.challenger.warm_up()
            rehearse(self._service, self._models.challenger, admission, self._answers)
        except Exception as error:  # noqa: BLE001 - as for each request: the champion answers
            label = self._models.challenger.label
            _log.warning(
                "the challenger failed while it warmed up", model=label, error=f"{type(error).__name__}: {error}"
            )
        self._heartbeat.challenge(False)

    def _wait_for_identity(self) -> str | None:
        wait_s = _STANDBY_S if self._catalogues else None
        while True:
            with self._orders:
                if self._orders.wait_for(lambda: self._identity is not None or self._stopping, wait_s):
                    return None if self._stopping else self._identity
            wait_s = 0.0 if self._between(False) else _STANDBY_S

    def _between(self, busy: bool) -> bool:
        """Work between two batches: products that changed, then a canary's shadow. Returns whether there is more."""
        more = False
        for changes in self._catalogues:
            more |= changes.apply(busy=busy)
        return more or (self._canary is not None and self._canary.between())

    def _serve(self, identity: str, seats: Seats, delivery: Delivery, batches: Batches) -> None:
        structlog.contextvars.bind_contextvars(worker=identity)
        consumer = seats.take(identity)
        threading.Timer(_SPARE_SEATS_S, seats.close).start()
        self._answers.worker = identity
        worker = Worker(
            self._service,
            consumer,
            lambda: Consumer(clients.worker(self._settings, self._service.bulk_group, identity, self._slot)),
            delivery,
            batches,
            self._report,
            self._settings.workers.stop_within_s,
        )
        with self._orders:
            self._worker = worker
            if self._stopping:
                worker.stop()
        if worker.serve(self._steps.step, self._between):
            send(self._channel, Left())

    def _ask(self) -> Ask:
        """The model behind its breaker; beside it, in `_canary`, its challenger if there is one."""
        name, challenger = self._service.name, self._models.challenger
        if challenger is None or self._health.challenger is None:
            return self._kept(Breaker(self._health.model, name, self._fails).ask, self._model, name)
        max_slowdown = self._settings.canary.max_slowdown
        seen = SideBySide(name, self._model.label, challenger.label, max_slowdown)
        model = cast("Model[Any]", TimedModel(self._health.model, seen.champion_took))
        ask = self._kept(Breaker(model, name, self._fails).ask, self._model, name)
        timed = TimedModel(self._health.challenger, seen.challenger_took)
        theirs = Challenger(timed, name, seen, self._heartbeat.challenge)
        beside = self._kept(theirs.ask, challenger, f"{name}-challenger")
        versions = Versions(_version(self._model), _version(challenger))
        self._canary = CanaryRouting(ask, beside, challenger.label, versions, seen)
        return ask

    def _kept(self, ask: Ask, model: Model[Any], name: str) -> Ask:
        """Behind a cache of the model's own, unless the setting `cache` is 0; the model follows the catalogue."""
        entries = self._service.cache
        ignores_user = bool(getattr(model, "ignores_user", False))
        cache = Cache(ask, entries, self._service.requests, ignores_user=ignores_user)
        if isinstance(model, Changeable):
            changes = CatalogueChanges(bulletin.store_folder("catalogue"), model, name, cache.clear)
            changes.start()
            self._catalogues.append(changes)
        return cache.ask if entries else ask

    def _fails(self, reason: str) -> None:
        """The model fails on every request, perhaps because its weights are damaged; without a reason: no more."""
        send(self._channel, Failing(reason))
        if reason:
            self._health.hurry()

    def _report(self, report: Partitions | LoadReport | Waiting | Done | Cleared) -> None:
        if isinstance(report, LoadReport):
            offer(self._channel, report)
            if self._canary is not None:
                offer(self._channel, self._canary.report())
        elif isinstance(report, Done | Waiting | Cleared):
            send(self._channel, report)
        else:
            send(self._channel, Serving(report))

    def _stop(self) -> None:
        # Also runs as a signal handler, which may interrupt the main thread while it holds the lock: never wait for it.
        self._stopping = True
        if self._worker is not None:
            self._worker.stop()
        threading.Thread(target=self._wake, daemon=True).start()

    def _wake(self) -> None:
        with self._orders:
            self._orders.notify_all()

    def _obey(self) -> None:
        """Reads the supervisor's orders; ends the process at once when the supervisor is gone."""
        while True:
            order = receive(self._channel, TO_WORKER)
            if order is None:
                os._exit(1)
            if isinstance(order, StopOrder):
                self._stop()
            elif isinstance(order, Leave | Recreated):
                if self._worker is not None:
                    (self._worker.leave if isinstance(order, Leave) else self._worker.topic_recreated)()
            elif isinstance(order, CheckWeights):
                self._health.hurry()
            elif isinstance(order, Suspected):
                self._suspects.deaths = {(partition, offset): deaths for partition, offset, deaths in order.records}
            elif isinstance(order, CanaryOrder):
                self._try(order)
            elif isinstance(order, Activate):
                with self._orders:
                    self._identity = order.worker_id
                    self._orders.notify_all()

    def _try(self, order: CanaryOrder) -> None:
        """Has the challenger do what it is told. One that is not ready yet is told again when it is."""
        if self._canary is not None:
            self._canary.follow(order)

    def _tick(self) -> None:
        wait = threading.Event()
        while True:
            self._heartbeat.tick()
            self._health.step()
            wait.wait(_TICK_S)


def start(
    slot: str,
    channel: socket.socket,
    service: Service,
    models: LoadedModels,
    settings: Settings,
    weights: Weights | None = None,
) -> int:
    """Runs a worker process in this process; returns its exit status. `weights`: as when the models were loaded."""
    telemetry.become(slot)
    logs.configure(settings.log, slot)
    sys.setswitchinterval(_SWITCH_S)
    loaded = Weights(models.watched) if weights is None else weights
    return WorkerProcess(slot, channel, service, models, settings, loaded).run()


def _version(model: Model[Any]) -> int:
    return int(model.label.rpartition("@")[2])
