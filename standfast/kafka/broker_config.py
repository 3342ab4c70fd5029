"""The configuration of the embedded cluster's brokers: properties, logging, ports."""

from __future__ import annotations

import random
import secrets
import socket
import string
from collections.abc import Mapping

import msgspec
from msgspec.structs import asdict, replace

from standfast.core.network.routes import Route
from standfast.kafka.wire import NODE

_PORTS = range(20_000, 32_000)  # below Linux's ephemeral ports (32768 on), so that a restart finds its own port free


class Behind(msgspec.Struct, frozen=True):
    """The ports on which a node listens itself where the network proxy listens on those that others connect to.

    Args:
        peers_front: the proxy's port for the other brokers, who must be told from clients: a partition between brokers
            is another fault than one between a broker and its clients.
        peers: the node's port for the other brokers; the same as `peers_front` where there is only one broker.
    """

    broker: int
    controller: int
    peers: int
    peers_front: int


class NodePorts(msgspec.Struct, frozen=True, omit_defaults=True):
    """The ports of one node on 127.0.0.1: it listens on them, or the network proxy does, and the node `behind` it."""

    id: int
    broker: int
    controller: int
    behind: Behind | None = None

    @property
    def ports(self) -> frozenset[int]:
        """All of them."""
        behind = self.behind
        more = (behind.broker, behind.controller, behind.peers, behind.peers_front) if behind else ()
        return frozenset((self.broker, self.controller, *more))

    @property
    def listens(self) -> tuple[int, int]:
        """The node's own ports, for clients and for controllers."""
        return (self.behind.broker, self.behind.controller) if self.behind else (self.broker, self.controller)

    def moved(self, spare: Mapping[int, int]) -> NodePorts:
        """The same with other ports in place of some."""
        behind = self.behind
        return NodePorts(
            id=self.id,
            broker=spare.get(self.broker, self.broker),
            controller=spare.get(self.controller, self.controller),
            behind=behind and Behind(**{key: spare.get(port, port) for key, port in asdict(behind).items()}),
        )


class Layout(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a cluster keeps between two starts: its id, and its nodes' ids and ports.

    Args:
        password: with it a node proves to the controllers that it is one. Empty: nobody has to prove anything, and
            Kafka lets everybody do everything.
    """

    cluster_id: str
    nodes: list[NodePorts]
    password: str = ""

    @property
    def bootstrap_servers(self) -> str:
        """The addresses that clients connect to."""
        return ",".join(f"127.0.0.1:{node.broker}" for node in self.nodes)


def new_layout(brokers: int) -> Layout:
    """A layout with a random cluster id and free ports."""
    ports = _free_ports(2 * brokers)
    nodes = [NodePorts(id=n + 1, broker=ports[2 * n], controller=ports[2 * n + 1]) for n in range(brokers)]
    return Layout(cluster_id=random_id(), nodes=nodes)


def random_id() -> str:
    """A random id as Kafka gives them to clusters and folders: 16 bytes in base64, not beginning with a minus."""
    return "".join(random.choices(string.ascii_letters + string.digits, k=21)) + "A"


def with_free_ports(layout: Layout) -> Layout:
    """The same layout, with another port in place of each that another process listens on."""
    taken = [port for node in layout.nodes for port in sorted(node.ports) if not is_free(port)]
    spare = dict(zip(taken, _free_ports(len(taken)), strict=True))
    return replace(layout, nodes=[node.moved(spare) for node in layout.nodes])


def with_proxy(layout: Layout) -> Layout:
    """The same layout, with ports behind the network proxy for each node that has none yet."""
    return replace(layout, nodes=[_behind_proxy(node, layout) for node in layout.nodes])


def without_proxy(layout: Layout) -> Layout:
    """The same layout, where each node listens itself on the ports that others connect to."""
    nodes = [NodePorts(id=node.id, broker=node.broker, controller=node.controller) for node in layout.nodes]
    return replace(layout, nodes=nodes)


def with_authorizer(layout: Layout) -> Layout:
    """The same layout, where Kafka looks up in its access control lists who may do what."""
    return replace(layout, password=layout.password or secrets.token_hex())


def without_authorizer(layout: Layout) -> Layout:
    """The same layout, where everybody may do everything."""
    return replace(layout, password="")


def routes(layout: Layout) -> list[Route]:
    """What the network proxy passes on to whom; nothing for a layout without it."""
    found: list[Route] = []
    for node in layout.nodes:
        if node.behind is None:
            continue
        behind = node.behind
        ways = (
            (f"kafka-{node.id}", node.broker, behind.broker),
            (f"kafka-{node.id}-peers", behind.peers_front, behind.peers),
            (f"kafka-{node.id}-controller", node.controller, behind.controller),
        )
        found += [Route(name, front, "127.0.0.1", port) for name, front, port in ways if front != port]
    return found


def _behind_proxy(node: NodePorts, layout: Layout) -> NodePorts:
    if node.behind is not None:
        return node
    broker, controller, peers, peers_front = _free_ports(4)
    if len(layout.nodes) == 1:  # it is its own peer; a delay between the two would be no network's
        controller, peers_front = node.controller, peers
    behind = Behind(broker=broker, controller=controller, peers=peers, peers_front=peers_front)
    return NodePorts(id=node.id, broker=node.broker, controller=node.controller, behind=behind)


def is_free(port: int) -> bool:
    """Whether a broker could listen on this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Java does: TIME_WAIT connections don't count
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def properties(layout: Layout, node: NodePorts, data: str) -> str:
    """The text of `server.properties` for one node; `data` is the name of `log.dirs` in the node's folder."""
    brokers = len(layout.nodes)
    replicas, in_sync = min(3, brokers), 2 if brokers > 2 else 1
    lines = {
        "process.roles": "broker,controller",
        "node.id": node.id,
        "controller.quorum.voters": ",".join(f"{voter.id}@127.0.0.1:{voter.controller}" for voter in layout.nodes),
        **_listeners(node, "SASL_PLAINTEXT" if layout.password else "PLAINTEXT"),
        "controller.listener.names": "CONTROLLER",
        "log.dirs": data,
        "auto.create.topics.enable": "false",
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "log.cleaner.dedupe.buffer.size": 16_777_216,  # default 128 MiB, allocated at start; 16 hold 600,000 keys
        **_internal_topics(replicas, in_sync),
        **_quick_to_notice(),
        **_authorizer(layout.password),
        "controller.quorum.fetch.timeout.ms": _leaderless_ms(layout, node),
    }
    return "".join(f"{key}={value}\n" for key, value in lines.items())


def _listeners(node: NodePorts, controllers: str) -> dict[str, object]:
    if node.behind is None:
        return {
            "listeners": f"PLAINTEXT://127.0.0.1:{node.broker},CONTROLLER://127.0.0.1:{node.controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{node.broker}",
            "listener.security.protocol.map": f"PLAINTEXT:PLAINTEXT,CONTROLLER:{controllers}",
            "inter.broker.listener.name": "PLAINTEXT",
        }
    own = {"PLAINTEXT": node.behind.broker, "PEERS": node.behind.peers, "CONTROLLER": node.behind.controller}
    fronts = {"PLAINTEXT": node.broker, "PEERS": node.behind.peers_front, "CONTROLLER": node.controller}
    return {
        "listeners": ",".join(f"{name}://127.0.0.1:{port}" for name, port in own.items()),
        "advertised.listeners": ",".join(f"{name}://127.0.0.1:{port}" for name, port in fronts.items()),
        "listener.security.protocol.map": f"PLAINTEXT:PLAINTEXT,PEERS:PLAINTEXT,CONTROLLER:{controllers}",
        "inter.broker.listener.name": "PEERS",
    }


def _authorizer(password: str) -> dict[str, object]:
    """Rights that are looked up in access control lists; where there are none, everybody may do everything.

    Controllers have to be super users: they vote before they have read any list. So they log in, and nobody else does.
    """
    if not password:
        return {}
    login = "org.apache.kafka.common.security.plain.PlainLoginModule"
    user = f'{login} required username="{NODE}" password="{password}" user_{NODE}="{password}";'
    return {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "true",
        "super.users": f"User:{NODE}",
        "sasl.mechanism.controller.protocol": "PLAIN",
        "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.controller.plain.sasl.jaas.config": user,
    }


def _internal_topics(replicas: int, in_sync: int) -> dict[str, object]:
    return {
        "offsets.topic.num.partitions": 8,
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.num.partitions": 8,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.num.partitions": 8,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
    }


def _quick_to_notice() -> dict[str, object]:
    """Short time-outs: with them a dead leader's partitions answer again after 1.5 s, with the defaults after 9 s."""
    return {
        "replica.fetch.backoff.ms": 50,  # default 1 s, which a new leader's followers waited, and acks=all with them
        # Default 500, which a follower's open fetch lasted before it asked the new leader, and acks=all with it.
        "replica.fetch.wait.max.ms": 100,
        "broker.session.timeout.ms": 1500,
        "broker.heartbeat.interval.ms": 300,
        "controller.quorum.election.timeout.ms": 500,
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1000,
    }


def _leaderless_ms(layout: Layout, node: NodePorts) -> int:
    """After how many ms without the controller a node stands for election: 800, and 150 more for each next node.

    Two nodes that stand at the same instant vote for themselves, and for 0.7 s no controller is elected; that happened
    at every second death. A controller with nothing new answers every 500 ms.
    """
    return 800 + 150 * layout.nodes.index(node)


def logging_config(file: str) -> str:
    """A log4j2 configuration that keeps at most 4 files of 5 MB."""
    return f"""\
status = error
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = {file}
appender.file.filePattern = {file}.%i
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = [%d] %p %m (%c)%n
appender.file.policies.type = SizeBasedTriggeringPolicy
appender.file.policies.size = 5MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 3
rootLogger.level = info
rootLogger.appenderRef.file.ref = file
"""


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens."""
    return _free_ports(1)[0]


def _free_ports(count: int) -> list[int]:
    ports: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        if len(ports) == count:
            break
        if is_free(port):
            ports.append(port)
    return ports
