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
from standfast.kafka.broker import Node
from standfast.kafka.broker_config import Layout, new_layout, with_free_ports
from standfast.kafka.quorum import elect_another
from standfast.kafka.unregister_broker import unregister

_log = structlog.get_logger()
_POLL_S = 0.02
_ELECT_S = 0.5  # of each controller to take what it is told; without it they elect another by themselves, later
_WRITE_OFF_S = 5.0  # a new controller may have to be elected first, if it was the dead one
_GRACE_S = 10.0  # how long a broker whose supervisor was just killed may take to give its folder back


class Cluster:
    """Apache Kafka (KRaft) on loopback, with its data below `folder`; a later start finds data and ports again.

    Blocks in `start` and `stop`. Start it from the main thread: the brokers die with the thread that started them.
    """

    def __init__(self, brokers: int, folder: Path) -> None:
        self.folder = folder
        self.nodes: list[Node] = []
        self._brokers = brokers
        self._layout: Layout | None = None

    @property
    def bootstrap_servers(self) -> str:
        """What clients connect to; known from `start` on."""
        if self._layout is None:
            raise ClusterError("Kafka has no address yet: it was never started")
        return self._layout.bootstrap_servers

    def start(self, timeout: float = 120.0) -> None:
        """Starts every broker and returns when all of them answer clients; raises ClusterError, leaving none behind.

        The first start on a machine also fetches Kafka, outside of `timeout` (see `distribution`).
        """
        try:
            self.launch(timeout)
            self.wait_ready(timeout)
        except BaseException:
            for node in self.nodes:
                node.kill()
            raise

    def launch(self, timeout: float = 60.0) -> None:
        """Starts every broker's process and returns before it answers; `wait_ready` is to follow."""
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
        quick = {"reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 50, "log_level": 0}
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers, **quick})
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
        """Has the others take over from a broker that ended, at once; blocks for up to 5 s. To be launched afterwards.

        False, and nothing is done, where another is down too: the request could then outlast the broker's return.
        """
        others = [node for node in self.nodes if node is not dead]
        if not others or not all(node.alive for node in others):
            return False
        elect_another(dead.id, {node.id: node.controller_address for node in others}, _ELECT_S)
        return unregister(dead.id, [node.address for node in others], _WRITE_OFF_S)

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
        remembered = self._remembered()
        held = [Node(self.folder, remembered, ports) for ports in remembered.nodes]
        _wait_until_unheld(held)
        self._layout = with_free_ports(remembered)
        self._remember(self._layout)
        self.nodes = [Node(self.folder, self._layout, ports) for ports in self._layout.nodes]
        for node in self.nodes:
            node.write_config()
        started = [(node, process) for node in self.nodes if (process := node.begin_format()) is not None]
        for node, process in started:
            node.end_format(process, timeout)

    def _remembered(self) -> Layout:
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

    def _remember(self, layout: Layout) -> None:
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


def _wait_until_unheld(nodes: list[Node]) -> None:
    deadline = time.monotonic() + _GRACE_S
    for node in nodes:
        while (pid := node.holder()) is not None:
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"{node.data} is in use by process {pid}, a Kafka that is left over; `standfast down` ends it, or "
                    "choose another STANDFAST_HOME"
                )
            time.sleep(_POLL_S)
