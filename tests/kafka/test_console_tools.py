"""Kafka's console tools from the jars, run as `standfast kafka …`."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Protocol

import pytest


class Call(Protocol):
    """Runs `standfast kafka …`."""

    def __call__(self, *args: str, stdin: str = "") -> subprocess.CompletedProcess[str]: ...


@pytest.fixture
def kafka(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Call:
    environment = os.environ | {
        "KAFKA_BOOTSTRAP_SERVERS": broker,
        "STANDFAST_HOME": str(tmp_path_factory.mktemp("home")),
    }

    def call(*args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "standfast", "kafka", *args]
        return subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=150, env=environment, check=False
        )

    return call


def test_what_the_console_producer_sends_the_console_consumer_prints(kafka: Call, unique: str) -> None:
    made = kafka("topics", "--create", "--topic", unique, "--partitions", "1")
    assert made.returncode == 0, made.stderr
    lines = '{"request_id": "r1", "query": "lunch bag"}\nk2\tworker-kill\n'
    sent = kafka("console-producer", "--topic", unique, stdin=lines)
    assert sent.returncode == 0, sent.stderr
    read = kafka("console-consumer", "--topic", unique, "--from-beginning", "--max-messages", "2")
    assert read.returncode == 0, read.stderr
    assert read.stdout == lines
    offsets = kafka("get-offsets", "--topic", unique)
    assert offsets.stdout.strip() == f"{unique}:0:2"


def test_a_tool_keeps_its_own_help_and_exit_code(kafka: Call, unique: str) -> None:
    shown = kafka("consumer-groups", "--help")
    assert "--reset-offsets" in shown.stdout + shown.stderr
    assert kafka("topics", "--describe", "--topic", unique).returncode == 1
    unknown = kafka("console-printer")
    assert unknown.returncode == 2
    assert unknown.stderr.startswith("error: 'console-printer' is none of Apache Kafka's tools")


def test_the_quorum_and_cluster_tools_connect_too(kafka: Call) -> None:
    """`metadata-quorum` takes the connection options before its sub-command, `cluster` after it."""
    assert "LeaderId" in kafka("metadata-quorum", "describe", "--status").stdout
    assert "Cluster ID" in kafka("cluster", "cluster-id").stdout
