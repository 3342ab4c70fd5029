"""The files for containers name only commands, settings, ports and metrics that exist, and pinned images."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram

from standfast.cli import ENTRIES
from standfast.core import telemetry
from standfast.core.settings import Settings, load
from standfast.kafka.broker_config import Layout, NodePorts, properties

ROOT = Path(__file__).resolve().parents[3]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if str(service["image"]).startswith("standfast:")}
DASHBOARD = json.loads((ROOT / "deploy/grafana/dashboards/standfast.json").read_text())
RULES = yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text())
# Settings that differ from the embedded Kafka's, because clients reach the broker over the containers' network.
PLACED = {
    "listeners", "advertised.listeners", "listener.security.protocol.map", "inter.broker.listener.name",
    "controller.quorum.voters", "log.dirs",
}  # fmt: skip


def _compose() -> list[str]:
    candidates = (["docker", "compose"], ["docker-compose"])
    for words in candidates:
        if (
            shutil.which(words[0])
            and subprocess.run([*words, "version"], capture_output=True, check=False).returncode == 0
        ):
            return words
    pytest.skip("neither `docker compose` nor `docker-compose` is installed here")


def test_compose_reads_the_file() -> None:
    words = [*_compose(), "-f", str(ROOT / "docker-compose.yml"), "config", "-q"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", OURS)
def test_every_command_exists(name: str) -> None:
    entrypoint = [word for word in OURS[name].get("entrypoint", []) if word != "standfast"]
    words = [*entrypoint, *OURS[name]["command"]]
    assert words[0] in {entry.name for entry in ENTRIES}
    if words[0] == "worker":
        assert set(words[1:]) <= {"search", "recommend"}


@pytest.mark.parametrize("name", OURS)
def test_every_setting_exists_and_is_accepted(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The environment of each service loads, and sets no Kafka client setting but the address."""
    monkeypatch.setenv("STANDFAST_HOME", str(tmp_path))
    for variable, value in {**_image_environment(), **OURS[name]["environment"]}.items():
        monkeypatch.setenv(variable, value)
    settings = load()
    assert settings.kafka.bootstrap_servers == "kafka:19092"
    assert not settings.kafka.client
    assert settings.metrics.host == "0.0.0.0"  # noqa: S104 - inside a container


def test_the_brokers_configuration_does_not_reach_our_services() -> None:
    shared = {variable for service in OURS.values() for variable in service["environment"]}
    assert {variable for variable in shared if variable.startswith("KAFKA_")} == {"KAFKA_BOOTSTRAP_SERVERS"}
    assert "KAFKA_BOOTSTRAP_SERVERS" not in SERVICES["kafka"]["environment"]
    assert not any("env_file" in service for service in SERVICES.values())


def test_the_broker_is_configured_as_the_embedded_one() -> None:
    embedded = properties(Layout(cluster_id="x", nodes=[NodePorts(1, 1, 2)]), NodePorts(1, 1, 2), "data")
    wanted = dict(line.split("=", 1) for line in embedded.splitlines())
    named = {"KAFKA_" + key.upper().replace(".", "_"): value for key, value in wanted.items() if key not in PLACED}
    given = SERVICES["kafka"]["environment"]
    assert {key: given.get(key) for key in named} == named


def test_every_image_is_pinned() -> None:
    images = {service["image"] for service in SERVICES.values()}
    images |= set(re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    for image in images:
        assert re.search(r":v?\d+\.\d+\.\d+", image), f"{image} has no full version"


def test_ports_are_the_ones_that_are_listened_on_and_stay_on_this_machine() -> None:
    inside = {"kafka": "9092", "search": "9464", "recommend": "9464", "prometheus": "9090", "grafana": "3000"}
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(published) == set(inside)
    for name, ports in published.items():
        for port in ports:
            address, _, container = port.split(":")
            assert (address, container) == ("127.0.0.1", inside[name])
    assert Settings().metrics.port == 9464


def test_prometheus_scrapes_services_that_serve_metrics() -> None:
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    targets = config["scrape_configs"][0]["static_configs"][0]["targets"]
    assert {target.partition(":")[0] for target in targets} == {"search", "recommend", "stream", "drills"}
    assert {target.partition(":")[2] for target in targets} == {"9464"}


def test_mounted_files_exist() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]


def test_the_image_runs_as_its_own_user() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert text.index("USER standfast") < text.index("ENTRYPOINT")
    assert "--require-hashes requirements.lock" in text


@pytest.mark.parametrize("expression", [
    *(target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]),
    *(rule["expr"] for group in RULES["groups"] for rule in group["rules"]),
])  # fmt: skip
def test_every_metric_and_label_in_a_panel_or_alert_exists(expression: str) -> None:
    known = dict(_exported())
    used = re.findall(r"\b(standfast_[a-z_]+)", expression)
    assert used or expression.startswith("up{")
    for name in used:
        assert name in known, f"{name} is not exported"
    labels = {label for name in used for label in known[name]} | {"le", "job"}
    for group in re.findall(r"\bby \(([^)]*)\)", expression):
        assert {label.strip() for label in group.split(",")} <= labels
    assert set(re.findall(r"(\w+)!?=~?\"", expression)) <= labels


def test_every_alert_is_explained() -> None:
    runbook = (ROOT / "docs/sre.md").read_text()
    for rule in RULES["groups"][0]["rules"]:
        assert f"### {rule['alert']}" in runbook


def _image_environment() -> dict[str, str]:
    line = re.search(r"^ENV PATH=.*$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert line is not None
    given = dict(word.split("=", 1) for word in line[0].removeprefix("ENV ").split())
    return {key: value for key, value in given.items() if key.startswith("STANDFAST_") and key != "STANDFAST_HOME"}


def _exported() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each series a scrape shows, with its labels."""
    suffixes = {Counter: ("_total",), Gauge: ("",), Histogram: ("_bucket", "_sum", "_count")}
    for metric in vars(telemetry).values():
        for kind, endings in suffixes.items():
            if isinstance(metric, kind):
                yield from ((metric._name + ending, metric._labelnames) for ending in endings)
