"""The process of `standfast up`: starts Kafka, the services and the roles, keeps them running, stops them in order."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable

import structlog
from confluent_kafka.admin import AdminClient

from consumers.process import nursery
from consumers.service import service
from consumers.supervision import orders
from consumers.supervision.replica_set import ReplicaSet
from consumers.supervision.scaler import Scaler
from consumers.supervision.topic_watch import TopicWatch
from consumers.versions import notes
from models import registry
from models.canary import Versions
from standfast import metrics_server, topics, worker_counts
from standfast.broker_watch import BrokerWatch
from standfast.core import clients, status, telemetry
from standfast.core import settings as settings_module
from standfast.core.errors import ClusterError, ModelError
from standfast.core.home import folder
from standfast.core.hosts.host_key import host_key
from standfast.core.network import routes
from standfast.core.processes.adopted import AdoptedProcess, Zombies
from standfast.core.processes.launching import STARTER_VARIABLE
from standfast.core.processes.lifeline import stopping_signals
from standfast.core.processes.parent_death import adopt_orphans, tie_to_parent, untie_from_parent
from standfast.core.settings import Settings
from standfast.core.status import RoleStatus, SystemStatus
from standfast.kafka.cluster import Cluster
from standfast.malloc_settings import one_arena
from standfast.proxy.registry import registry_behind_proxy
from standfast.role_launcher import RoleLauncher
from standfast.role_nursery import StartRole
from standfast.roles import CONSOLE, MODULES, Roles
from standfast.status_topic import StatusTopic

_log = structlog.get_logger()
_STATUS_S = 1.0  # between two records on the topic `status`; a host silent for 5 s counts as gone
_KAFKA_S = 60.0  # for the start of the embedded Kafka
_IMPORTED_S = 60.0  # for torch's import; without it each nursery imports it for itself
_ROLES_WAIT_S = 10.0  # for the workers, at most
_BROKERS_S = 0.05  # between two looks at the brokers
_LEAVES_WITHIN_S = 2.0  # for deleting this host's record, without which the host counts as gone after 5 s


class Supervisor:
    """Everything `standfast up` runs. Build and run it in the main thread: its children die with that thread."""

    def __init__(
        self, settings: Settings, services: tuple[str, ...], role_names: tuple[str, ...], embedded: bool
    ) -> None:
        own_kafka = embedded and not settings.kafka.bootstrap_servers
        drills = settings.drills
        self._cluster = (
            Cluster(settings.kafka.brokers, folder("kafka"), proxied=drills.network, authorizer=drills.authorizer)
            if own_kafka
            else None
        )
        self._settings = settings
        self._services = services
        self._replica_sets: list[ReplicaSet] = []
        self._scalers: list[Scaler] = []
        wanted = role_names if settings.console.enabled else [name for name in role_names if name != CONSOLE]
        self._roles = Roles(wanted, self._changed)
        self._nurseries = RoleLauncher(nursery.SHARED if services else (), nursery.ENVIRONMENT)
        self._state: status.State = "starting"
        self._detail = "starting"
        self._starter = int(os.environ.pop(STARTER_VARIABLE, "0"))
        self._started = status.started_at(os.getpid())
        self._partitions: dict[str, int] = {}
        self._metrics_url = ""
        self._host = host_key(settings)
        self._topic: StatusTopic | None = None
        self._brokers: BrokerWatch | None = None
        self._troubles: dict[str, str] = {}
        self._zombies = Zombies()
        self._stop = asyncio.Event()

    def run(self) -> None:
        """Runs the system until SIGTERM, SIGHUP or Ctrl-C.

        Raises StandfastError if the system cannot be started, or if something kept ending when it was stopped.
        """
        one_arena()
        adopt_orphans()
        if self._starter:
            tie_to_parent(self._starter, signal.SIGTERM)
        asyncio.run(self._main())

    async def _main(self) -> None:
        loop = asyncio.get_running_loop()
        for signum in stopping_signals():
            loop.add_signal_handler(signum, self._stop.set)
        try:
            starting = asyncio.create_task(self._start())
            stopping = asyncio.create_task(self._stop.wait())
            await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await self._keep_up()
            starting.cancel()
            await asyncio.gather(starting, stopping, return_exceptions=True)
            failing = self._failing()
        finally:
            await self._take_down()
        if failing:
            raise ClusterError(f"stopped; until then {failing}")

    async def _start(self) -> None:
        """Starts everything. Kafka starts while models are trained and loaded."""
        self._start_metrics()
        self._nurseries.begin()
        self._launch_kafka()
        await self._train_missing()
        environment = settings_module.environment(self._settings)
        steps = [asyncio.create_task(step) for step in (self._load_models(environment), self._wait_for_kafka())]
        try:
            await asyncio.gather(*steps)
        finally:
            for step in steps:  # where one fails, the other must start nothing more
                step.cancel()
        for replicas in self._replica_sets:
            replicas.serve(self._partitions[replicas.service.requests])
            self._scalers.append(self._scaler(replicas))
        await self._wait_for_workers()
        self._roles.begin()
        await self._roles.start(environment)

    async def _load_models(self, environment: dict[str, str]) -> None:
        await self._nurseries.ready(_IMPORTED_S)
        for name in self._services:
            replicas = ReplicaSet(
                service(name, self._settings), self._settings, self._changed, environment, self._fork_nursery
            )
            self._replica_sets.append(replicas)
            replicas.start(*registry.serving(name))

    async def _wait_for_workers(self) -> None:
        """Roles are started after the workers: on two cores their imports would keep the first answers waiting."""
        until = time.monotonic() + _ROLES_WAIT_S
        while time.monotonic() < until and not all(replicas.complete for replicas in self._replica_sets):
            await asyncio.sleep(_BROKERS_S)

    def _fork_nursery(
        self, name: str, versions: Versions, channel: int, variables: dict[str, str]
    ) -> AdoptedProcess | None:
        words = nursery.arguments(name, versions)
        return self._nurseries.fork(StartRole(nursery.process_name(name), nursery.MODULE, variables, words), channel)

    def _start_console(self) -> None:
        all_else_works = self._state == "ready" and self._has_begun()
        self._roles.start_console(settings_module.environment(self._settings), all_else_works=all_else_works)

    def _scaler(self, replicas: ReplicaSet) -> Scaler:
        section = self._settings.service(replicas.service.name)
        return Scaler(replicas, section, self._settings.scaling, TopicWatch(self._settings, replicas.service.requests))

    def _start_metrics(self) -> None:
        registry = telemetry.shared_registry(folder("run", "metrics"))
        self._metrics_url = metrics_server.start(self._settings.metrics, registry)

    def _launch_kafka(self) -> None:
        if self._cluster is None:
            return
        self._tell("starting Kafka")
        self._cluster.launch()
        self._brokers = BrokerWatch(self._cluster, self._settings.kafka.silent_after_s, self._stop)
        kafka = self._settings.kafka.model_copy(update={"bootstrap_servers": self._cluster.bootstrap_servers})
        self._settings = self._settings.model_copy(update={"kafka": kafka})
        self._start_network(self._cluster)

    def _start_network(self, cluster: Cluster) -> None:
        """Starts the network proxy, if the settings ask for it: no client reaches Kafka before it listens."""
        if not self._settings.drills.network:
            routes.forget()
            return
        self._settings, registry_route = registry_behind_proxy(self._settings)
        routes.keep([*cluster.routes, *registry_route])
        self._roles.start_network(settings_module.environment(self._settings))

    async def _train_missing(self) -> None:
        """Trains models that have no active version, in a child process: the supervisor must not load torch."""
        if missing := self._missing():
            await self._take_models(missing)
        if not (missing := self._missing()):
            return
        self._tell(f"training {' and '.join(missing)}")
        if await _ended(sys.executable, "-P", "-m", "standfast", "models", "train", *missing, "--quick"):
            raise ModelError("the models could not be trained; the lines above say why")

    def _missing(self) -> list[str]:
        return [name for name in self._services if registry.active(name) is None]

    async def _take_models(self, missing: list[str]) -> None:
        """Takes models from the other hosts of a Kafka that is not ours; without any, they are trained."""
        if self._cluster is None:
            self._tell(f"asking other hosts for {' and '.join(missing)}")
            environment = settings_module.environment(self._settings)
            await _ended(sys.executable, "-P", "-m", MODULES["models"], "join", *missing, environment=environment)

    async def _wait_for_kafka(self) -> None:
        self._tell("waiting for Kafka and the models")
        if self._cluster is not None:
            await asyncio.to_thread(self._cluster.wait_ready, _KAFKA_S)
        admin = AdminClient(clients.base(self._settings, "standfast-admin"))
        table = await asyncio.to_thread(topics.apply, admin, self._settings.kafka)
        self._partitions = {state.name: state.actual_partitions or state.partitions for state in table}
        self._topic = StatusTopic(self._settings, self._host)
        self._topic.start()

    async def _keep_up(self) -> None:
        """Until the supervisor is to stop: watches the brokers, follows orders and the registry, scales, and writes the
        status once a second.
        """
        written = 0.0
        while not self._stop.is_set():
            if self._brokers is not None:
                self._guarded("watch the brokers", self._brokers.look)
            for scaler in self._scalers:
                self._guarded("follow orders", scaler.obey)
            if time.monotonic() - written > _STATUS_S:
                self._guarded("follow the registry", self._follow_registry)
                self._guarded("sweep", self._zombies.sweep)
                self._guarded("start the console", self._start_console)
                for scaler in self._scalers:
                    self._guarded("scale", scaler.look)
                self._changed()
                written = time.monotonic()
            try:
                await asyncio.wait_for(self._stop.wait(), _BROKERS_S)
            except TimeoutError:
                continue

    def _guarded(self, name: str, step: Callable[[], object]) -> None:
        """Does one step of supervision. A failure is logged once and tried again at the next call."""
        try:
            step()
        except Exception as error:  # noqa: BLE001 - no failure of one step may stop the supervisor
            trouble = f"{type(error).__name__}: {error}"
            if self._troubles.get(name) != trouble:
                self._troubles[name] = trouble
                _log.exception("a step of supervision failed; it is tried again", step=name)
        else:
            self._troubles.pop(name, None)

    def _follow_registry(self) -> None:
        """Tells each replica set which version of its model is active, and which challenger is tried."""
        waiting = notes.read()
        for replicas in self._replica_sets:
            try:
                activated = registry.serving(replicas.service.name)
            except (ModelError, OSError) as error:
                replicas.not_followed = str(error)
                continue
            replicas.not_followed = waiting.get(replicas.service.name) or None
            replicas.follow(*activated)

    async def _take_down(self) -> None:
        """Stops roles and workers, who finish their batches, then the status topic, and Kafka last."""
        self._state, self._detail = "stopping", "stopping"
        telling = asyncio.create_task(self._keep_telling())
        for name in self._services:
            orders.forget(name)
        limit = self._settings.workers.stop_within_s
        await asyncio.gather(
            self._roles.stop(),
            *(replicas.stop(limit) for replicas in self._replica_sets),
        )
        self._nurseries.close()
        telling.cancel()
        if self._topic is not None:
            await asyncio.to_thread(self._topic.close, _LEAVES_WITHIN_S)
        await self._roles.stop_network()
        if self._cluster is not None:
            self._cluster.stop()

    async def _keep_telling(self) -> None:
        """Publishes the status once a second while the system stops: a host silent for 5 s counts as gone."""
        while True:
            self._changed()
            await asyncio.sleep(_STATUS_S)

    def _tell(self, detail: str) -> None:
        self._detail = detail
        _log.info(detail)
        self._changed()

    def _changed(self) -> None:
        """Updates the state, then writes status and metrics; a write that fails is repeated within a second."""
        if (
            self._state == "starting"
            and self._replica_sets
            and all(replicas.complete for replicas in self._replica_sets)
        ):
            self._state, self._detail = "ready", ""
            _log.info("ready", bootstrap_servers=self._settings.kafka.bootstrap_servers, metrics=self._metrics_url)
        if self._starter and self._state == "ready" and self._has_begun():
            untie_from_parent()
            self._starter = 0
        self._guarded("write the status", self._write_status)
        self._guarded("count", self._count)

    def _write_status(self) -> None:
        current = self._status()
        if self._topic is not None:
            self._topic.publish(current)
        status.write(current)

    def _has_begun(self) -> bool:
        """Whether `up --detach` may return: every role works, or one is known not to."""
        return bool(self._failing()) or all(row.state == "running" for row in self._role_rows() if row.id != CONSOLE)

    def _status(self) -> SystemStatus:
        failing = self._failing()
        return SystemStatus(
            state="degraded" if failing and self._state == "ready" else self._state,
            at=int(time.time() * 1000),
            supervisor_pid=os.getpid(),
            supervisor_started=self._started,
            bootstrap_servers=self._settings.kafka.bootstrap_servers,
            metrics_url=self._metrics_url,
            host=self._host,
            workers=self._worker_rows(),
            roles=self._role_rows(),
            topics=list(self._partitions),
            services=[
                replicas.told(scaler.status())
                for replicas, scaler in zip(self._replica_sets, self._scalers, strict=False)  # none before the workers
            ],
            detail=failing or self._failure() or self._roles.console_failing or self._detail,
            takeovers=[takeover for replicas in self._replica_sets for takeover in replicas.takeovers()],
            console_url=self._roles.console_url,
        )

    def _count(self) -> None:
        worker_counts.show(self._worker_rows())
        for replicas in self._replica_sets:
            telemetry.BREAKER_OPEN.labels(replicas.service.requests).set(len(replicas.members.failing))
            telemetry.MODEL_REFUSED.labels(replicas.service.name).set(bool(replicas.refused))
            telemetry.CHALLENGER_REFUSED.labels(replicas.service.name).set(replicas.challenger_refused)
        for row in self._role_rows():
            telemetry.ROLE_FAILING.labels(row.id).set(bool(row.failing))

    def _failing(self) -> str:
        """Every process that keeps ending or does not work, with its error; empty while there is none.

        The console is left out: nothing that is served depends on it.
        """
        roles = [row.failing for row in self._role_rows() if row.failing and row.id != CONSOLE]
        waiting = [
            f"{row.id} keeps ending: its next start waits" for row in self._worker_rows() if row.state == "backing_off"
        ]
        models = [reason for replicas in self._replica_sets for reason in replicas.members.failing]
        idle = [replicas.failure for replicas in self._replica_sets if replicas.failure and not replicas.settled]
        return "; ".join(dict.fromkeys([*roles, *idle, *waiting, *models]))

    def _failure(self) -> str | None:
        return next(
            (
                reason
                for replicas in self._replica_sets
                for reason in (replicas.refused, replicas.failure, replicas.not_followed, *replicas.members.waiting)
                if reason
            ),
            None,
        )

    def _worker_rows(self) -> list[status.WorkerStatus]:
        return [row for replicas in self._replica_sets for row in replicas.status()]

    def _role_rows(self) -> list[RoleStatus]:
        brokers = self._brokers.rows() if self._brokers is not None else []
        return [*brokers, *self._roles.rows()]


async def _ended(*command: str, environment: dict[str, str] | None = None) -> int:
    """Runs a program to its end and returns its exit status; kills it if this is cancelled."""
    variables = {**os.environ, **(environment or {})}
    process = await asyncio.create_subprocess_exec(*command, stdout=sys.stderr, env=variables)
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            process.kill()  # SIGTERM would not end a stopped process; its drafts are removed later
            await process.wait()
