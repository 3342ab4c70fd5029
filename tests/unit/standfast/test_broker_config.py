"""The ports of the embedded Kafka, with the network proxy in front of it and without."""

from __future__ import annotations

import socket

import msgspec
import pytest

from standfast.core.network.routes import Route
from standfast.kafka.broker_config import (
    Behind,
    Layout,
    NodePorts,
    new_layout,
    properties,
    routes,
    with_free_ports,
    with_proxy,
    without_proxy,
)

BEHIND = Behind(broker=11, controller=12, peers=13, peers_front=14)


def lines(layout: Layout) -> dict[str, str]:
    return dict(line.split("=", 1) for line in properties(layout, layout.nodes[0], "data").splitlines())


def test_without_the_proxy_brokers_listen_on_the_ports_that_they_tell() -> None:
    layout = Layout("x", [NodePorts(1, 1, 2)])
    told = lines(layout)
    assert told["listeners"] == "PLAINTEXT://127.0.0.1:1,CONTROLLER://127.0.0.1:2"
    assert told["advertised.listeners"] == "PLAINTEXT://127.0.0.1:1"
    assert told["inter.broker.listener.name"] == "PLAINTEXT"
    assert routes(layout) == []
    assert b"behind" not in msgspec.json.encode(layout), "an older version reads it too"


def test_behind_the_proxy_brokers_tell_its_ports() -> None:
    told = lines(Layout("x", [NodePorts(1, 1, 2, BEHIND), NodePorts(2, 3, 4, BEHIND)]))
    assert told["listeners"] == "PLAINTEXT://127.0.0.1:11,PEERS://127.0.0.1:13,CONTROLLER://127.0.0.1:12"
    assert told["advertised.listeners"] == "PLAINTEXT://127.0.0.1:1,PEERS://127.0.0.1:14,CONTROLLER://127.0.0.1:2"
    assert told["inter.broker.listener.name"] == "PEERS"
    assert told["controller.quorum.voters"] == "1@127.0.0.1:2,2@127.0.0.1:4"


@pytest.mark.parametrize("brokers", [1, 3])
def test_clients_find_the_same_ports_with_the_proxy_and_without(brokers: int) -> None:
    plain = new_layout(brokers)
    proxied = with_proxy(plain)
    assert proxied.bootstrap_servers == plain.bootstrap_servers
    assert with_proxy(proxied) == proxied, "the ports of the last start are kept"
    assert without_proxy(proxied) == plain
    ports = [port for node in proxied.nodes for port in node.ports]
    assert len(set(ports)) == len(ports) == (4 if brokers == 1 else 6) * brokers
    assert not set(ports) & {route.port for route in routes(proxied)} - set(ports)


def test_every_way_to_a_broker_has_a_route_if_there_are_several() -> None:
    layout = Layout("x", [NodePorts(1, 1, 2, BEHIND)])
    assert routes(layout) == [
        Route("kafka-1", 1, "127.0.0.1", 11),
        Route("kafka-1-peers", 14, "127.0.0.1", 13),
        Route("kafka-1-controller", 2, "127.0.0.1", 12),
    ]
    alone = with_proxy(new_layout(1))
    assert [route.name for route in routes(alone)] == ["kafka-1"]


def test_a_port_that_was_taken_since_is_replaced_on_both_sides_of_the_proxy() -> None:
    layout = with_proxy(new_layout(3))
    first = layout.nodes[0]
    assert first.behind is not None
    with socket.create_server(("127.0.0.1", first.behind.peers)), socket.create_server(("127.0.0.1", first.broker)):
        moved = with_free_ports(layout)
    behind = moved.nodes[0].behind
    assert behind is not None
    assert behind.peers != first.behind.peers
    assert moved.nodes[0].broker != first.broker
    assert behind.broker == first.behind.broker
    assert moved.nodes[1:] == layout.nodes[1:]
