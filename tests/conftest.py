"""Fixtures of all tests: one real Kafka for each test run, unique names, and a state folder for each test."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from standfast.kafka.cluster import Cluster

os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell starts what is put behind `&` with SIGINT ignored, and children keep that: in a suite that was started so,
# commands that tests interrupted went on for ever, unless some test before had set the signal.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# No deadline for a Hypothesis example: on a busy machine an example is slow, not wrong.
hypothesis.settings.register_profile("standfast", deadline=None)
hypothesis.settings.load_profile("standfast")
pytest_plugins = ["tests.fixtures_models", "tests.fixtures_toys"]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The embedded Kafka of this test run, with one broker. All tests share it: don't stop it."""
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
    """A short random string for topics, groups and transactional ids, so that tests cannot meet on them."""
    return uuid.uuid4().hex[:10]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty state folder, which `standfast.core.home` uses during the test (`STANDFAST_HOME`)."""
    monkeypatch.setenv("STANDFAST_HOME", str(tmp_path / "state"))
    return tmp_path / "state"
