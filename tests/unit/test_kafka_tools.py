"""What `standfast kafka` adds to the arguments of Kafka's own tools."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import pytest

from standfast import settings
from standfast.errors import ClusterError, UsageError
from standfast.kafka.distribution import jars_folder
from standfast.kafka.tools import TOOLS, _connected, java_properties, kafka_tool


def test_every_tool_is_a_class_in_the_jars() -> None:
    inside: set[str] = set()
    for jar in jars_folder().glob("kafka*.jar"):
        inside.update(zipfile.ZipFile(jar).namelist())
    assert [name for name, tool in TOOLS.items() if tool.main_class.replace(".", "/") + ".class" not in inside] == []


def test_an_unknown_tool_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"'console-printer' is none of .*console-producer.*topics"):
        kafka_tool("console-printer", [])


def test_the_configured_kafka_is_added_only_where_the_user_named_none(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "broker:9092")
    added = ["--bootstrap-server", "broker:9092"]
    assert _connected(TOOLS["topics"], ["--list"]) == [*added, "--list"]
    assert _connected(TOOLS["cluster"], ["cluster-id"]) == ["cluster-id", *added]
    for given in (["--bootstrap-server", "x:1"], ["--bootstrap-server=x:1"], ["--help"], []):
        assert _connected(TOOLS["topics"], given) == given
    assert _connected(TOOLS["dump-log"], ["--files", "f"]) == ["--files", "f"]


def test_with_no_system_running_it_says_how_to_start_one(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    with pytest.raises(ClusterError, match="no system is running here; start it with `standfast up"):
        _connected(TOOLS["topics"], ["--list"])


def test_credentials_reach_the_tool_in_its_own_words_and_never_a_file(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "broker:9092")
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("KAFKA_SASL_MECHANISM", "SCRAM-SHA-512")
    monkeypatch.setenv("KAFKA_SASL_USERNAME", "shop")
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", 'a"b')
    monkeypatch.setenv("KAFKA_SSL_CA_LOCATION", "/ca.pem")
    text = java_properties(settings.load())
    assert text.splitlines() == [
        "security.protocol=SASL_SSL",
        "sasl.mechanism=SCRAM-SHA-512",
        (
            "sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required "
            'username="shop" password="a\\\\"b";'
        ),
        "ssl.truststore.type=PEM",
        "ssl.truststore.location=/ca.pem",
    ]
    args = _connected(TOOLS["topics"], ["--list"])
    path = args[args.index("--command-config") + 1]
    descriptor = int(path.rpartition("/")[2])
    told = subprocess.run(["cat", path], pass_fds=[descriptor], capture_output=True, text=True, check=True)  # noqa: S607
    assert told.stdout == text
    assert _connected(TOOLS["topics"], ["--command-config=mine", "--list"])[2:] == ["--command-config=mine", "--list"]
