"""The embedded Kafka: one or three brokers as children of this process."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from types import TracebackType

import msgspec
import structlog

from standfast.core.errors import ClusterError
from standfast.core.keeping import write_whole
from standfast.core.network.routes import Route
from standfast.kafka.broker import Node
from standfast.kafka.broker_config import (
    Layout,
    new_layout,
    routes,
    with_authorizer,
    with_free_ports,
    with_proxy,
    without_authorizer,
    without_proxy,
)
from standfast.kafka.quorum import elect_another
from standfast.kafka.unregister_broker import unregister

_log = structlog.get_logger()
_POLL_S = 0.02
_ELECT_S = 0.5  # time limit for each controller's answer; if it fails, they elect another by themselves, later
_UNREGISTER_S = 5.0  # if the dead broker was the active controller, another must be elected first
_GRACE_S = 10.0  # how long a broker whose supervisor was just killed may take to release its folder


class Cluster:
    """Apache Kafka (KRaft) on 127.0.0.1, with its data below `folder`; a later start uses the same data and ports.

    `start` and `stop` block. Start it from the main thread: the brokers die with the thread that started them.

    Args:
        proxied: the ports that clients and brokers connect to are those of the network proxy, which the caller starts
            between `launch` and `wait_ready`.
        authorizer: Kafka looks up who may do what, in lists that are empty at first: then everybody may do everything.
    """

    def __init__(self, brokers: int, folder: Path, *, proxied: bool = False, authorizer: bool = False) -> None:
        self.folder = folder
        self._proxied = proxied
        self._authorizer = authorizer
        self.nodes: list[Node] = []
        self._brokers = brokers
        self._layout: Layout | None = None

    @property
    def bootstrap_servers(self) -> str:
        """The addresses that clients connect to; raises ClusterError before the first start."""
        if self._layout is None:
            raise ClusterError("Kafka has no address yet: it was never started")
        return self._layout.bootstrap_servers

    @property
    def routes(self) -> list[Route]:
        """What the network proxy passes on to whom; known after `launch`."""
        return routes(self._layout) if self._layout is not None else []

    def start(self, timeout: float = 120.0) -> None:
        """Starts every broker and returns when all answer clients; raises ClusterError, with no broker left running.

        The first start on a machine also fetches Kafka, which `timeout` does not cover (see `distribution`).
        """
        try:
            self.launch(timeout)
            self.wait_ready(timeout)
        except BaseException:
            for node in self.nodes:
                node.kill()
            raise

    def launch(self, timeout: float = 60.0) -> None:
        """Starts every broker's process without waiting for its answers; call `wait_ready` next."""
        self._prepare(timeout)
        for node in self.nodes:
            node.launch()

    def wait_ready(self, timeout: float) -> None:
        """Returns when a client sees every broker; raises ClusterError if one exits or `timeout` seconds pass."""
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        deadline = time.monotonic() + timeout
        for node in self.nodes:
            self._wait_for_port(node, deadline)
        retries = {"reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 50, "log_level": 0}
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers, **retries})
        while True:
            try:
                if len(admin.list_topics(timeout=1.0).brokers) == len(self.nodes):
                    _log.info("kafka is ready", brokers=len(self.nodes), bootstrap_servers=self.bootstrap_servers)
                    return
            except KafkaException:
                _log.debug("kafka does not answer yet")
            self._check(deadline)
            time.sleep(_POLL_S)

    def unregister(self, dead: Node) -> bool:
        """Unregisters a dead broker, so that the others take over its partitions at once; blocks for up to 5 s.

        Launch the broker again only afterwards. Does nothing and returns False if another broker is down too: the
        request could then take effect after the dead broker's return.
        """
        others = [node for node in self.nodes if node is not dead]
        if not others or not all(node.alive for node in others):
            return False
        password = self._layout.password if self._layout is not None else ""
        elect_another(dead.id, {node.id: node.controller_address for node in others}, _ELECT_S, password)
        return unregister(dead.id, [node.address for node in others], _UNREGISTER_S)

    def stop(self, timeout: float = 20.0) -> None:
        """Stops every broker cleanly, killing what still runs after `timeout` seconds; safe to call twice."""
        deadline = time.monotonic() + timeout
        for node in self.nodes:
            node.terminate()
        for node in self.nodes:
            if not node.wait(deadline):
                _log.warning("a broker did not stop in time and was killed", broker=node.id, timeout_s=timeout)

    def __enter__(self) -> Cluster:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _prepare(self, timeout: float) -> None:
        stored = self._stored_layout()
        _wait_until_released([Node(self.folder, stored, ports) for ports in stored.nodes])
        placed = with_proxy(stored) if self._proxied else without_proxy(stored)
        guarded = with_authorizer(placed) if self._authorizer else without_authorizer(placed)
        self._layout = with_free_ports(guarded)
        self._store(self._layout)
        self.nodes = [Node(self.folder, self._layout, ports) for ports in self._layout.nodes]
        for node in self.nodes:
            node.write_config()
        formatting = [(node, process) for node in self.nodes if (process := node.begin_format()) is not None]
        for node, process in formatting:
            node.end_format(process, timeout)

    def _stored_layout(self) -> Layout:
        path = self.folder / "cluster.json"
        try:
            layout = msgspec.json.decode(path.read_bytes(), type=Layout)
        except FileNotFoundError:
            return self._new_layout()
        except msgspec.MsgspecError as error:
            raise ClusterError(f"{path} cannot be read ({error}); put it back, or move {self.folder} away") from None
        if len(layout.nodes) != self._brokers:
            raise ClusterError(
                f"{self.folder} holds a cluster of {len(layout.nodes)} and {self._brokers} brokers are asked for; "
                f"set kafka.brokers to {len(layout.nodes)}, or choose another STANDFAST_HOME"
            )
        return layout

    def _new_layout(self) -> Layout:
        if any(self.folder.glob("node-*/data/meta.properties")):
            raise ClusterError(
                f"{self.folder} holds brokers' data but no cluster.json, which says what belongs together; put it "
                "back, or move the folder away to start empty"
            )
        return new_layout(self._brokers)

    def _store(self, layout: Layout) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self.folder / "cluster.json", msgspec.json.format(msgspec.json.encode(layout)))

    def _wait_for_port(self, node: Node, deadline: float) -> None:
        host, _, port = node.address.partition(":")
        while True:
            with socket.socket() as probe:
                if probe.connect_ex((host, int(port))) == 0:
                    return
            self._check(deadline)
            time.sleep(_POLL_S)

    def _check(self, deadline: float) -> None:
        for node in self.nodes:
            if not node.alive:
                raise ClusterError(f"broker {node.id} stopped while starting: {node.last_words()}")
        if time.monotonic() > deadline:
            raise ClusterError(
                f"Kafka did not answer in time at {self.bootstrap_servers}; the machine may be overloaded: "
                f"{self.nodes[0].last_words()}"
            )


def _wait_until_released(nodes: list[Node]) -> None:
    deadline = time.monotonic() + _GRACE_S
    for node in nodes:
        while (pid := node.holder()) is not None:
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"{node.data} is in use by process {pid}, a Kafka that is left over; `standfast down` ends it, or "
                    "choose another STANDFAST_HOME"
                )
            time.sleep(_POLL_S)
