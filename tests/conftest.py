"""What all tests share: one real Kafka for the whole run, names nobody else uses, and a state folder of their own."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from standfast.kafka.cluster import Cluster

os.environ.setdefault("OMP_NUM_THREADS", "1")
# A crowded machine is slow, not wrong: no time limit for one example.
hypothesis.settings.register_profile("standfast", deadline=None)
hypothesis.settings.load_profile("standfast")
pytest_plugins = ["tests.fixtures_models"]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The embedded Kafka of this test run, one broker; don't stop it."""
    with Cluster(brokers=1, folder=tmp_path_factory.mktemp("kafka")) as running:
        yield running


@pytest.fixture(scope="session")
def broker(cluster: Cluster) -> str:
    """The bootstrap servers of this test run's Kafka."""
    return cluster.bootstrap_servers


@pytest.fixture(scope="session")
def bootstrap(broker: str) -> str:
    """The same as `broker`."""
    return broker


@pytest.fixture
def unique() -> str:
    """A short string no other test has: for topics, groups and transactional ids."""
    return uuid.uuid4().hex[:10]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty state folder that `standfast.core.home` uses for the length of the test."""
    monkeypatch.setenv("STANDFAST_HOME", str(tmp_path / "state"))
    return tmp_path / "state"
