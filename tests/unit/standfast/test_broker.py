"""The reason that is shown after the process of an embedded broker has exited."""

from __future__ import annotations

from pathlib import Path

from standfast.kafka.broker import Node
from standfast.kafka.broker_config import Layout, NodePorts


def test_data_of_a_newer_kafka_are_named_with_the_remedy(tmp_path: Path) -> None:
    """Met with a folder of 4.3: the line alone says nothing to somebody who has never heard of BrokerEndpoint."""
    layout = Layout("x", [NodePorts(1, 1, 2)])
    node = Node(tmp_path / "kafka", layout, layout.nodes[0])
    node.log_file.parent.mkdir(parents=True)
    cause = (
        "Caused by: org.apache.kafka.common.errors.UnsupportedVersionException: Can't read version 4 of BrokerEndpoint"
    )
    node.log_file.write_text(f"[2026-11-28] INFO begins\n{cause}\n")
    assert f"move {tmp_path / 'kafka'} away to begin with empty topics (log: {node.log_file})" in node.last_words()
    node.log_file.write_text("[2026-11-28] ERROR another one\n")
    assert node.last_words() == f"[2026-11-28] ERROR another one (log: {node.log_file})"
