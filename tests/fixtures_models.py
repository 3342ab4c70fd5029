"""Models of the sample shop, trained once for each test run, and the optional data sets beside the checkout."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from models.encoder.model import Encoder
    from models.recommend.model import Recommender
    from models.search.model import HybridSearch

_SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def trained_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder in which both models of the sample shop are published and active. Do not write to it."""
    from models.training import ensure

    base = tmp_path_factory.getbasetemp()
    # Several test processes share a run, whose folder is then above theirs: the first one trains, the others wait.
    home = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "trained"
    home.mkdir(exist_ok=True)
    with (home / "lock").open("w") as lock, pytest.MonkeyPatch.context() as patch:
        fcntl.flock(lock, fcntl.LOCK_EX)
        patch.setenv("STANDFAST_HOME", str(home))
        ensure()
    return home


@pytest.fixture
def sample_home(trained_shop: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`trained_shop` as the state folder of this test. Do not write to it."""
    monkeypatch.setenv("STANDFAST_HOME", str(trained_shop))
    return trained_shop


@pytest.fixture
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty state folder and an empty cache folder for one test."""
    monkeypatch.setenv("STANDFAST_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "home"


@pytest.fixture(scope="session")
def search_model(trained_shop: Path) -> HybridSearch:
    """The search model of the sample shop, on the CPU."""
    from models.search.model import load_search

    return load_search(trained_shop / "models" / "search" / "1", "search@1", "cpu")


@pytest.fixture(scope="session")
def exact_encoder() -> Encoder:
    """The bundled encoder in float32, on the CPU. Do not change it."""
    from models.encoder.model import load_encoder

    return load_encoder("bundled", "cpu", exact=True)


@pytest.fixture(scope="session")
def recommend_model(trained_shop: Path) -> Recommender:
    """The recommendation model of the sample shop, on the CPU."""
    from models.recommend.model import load_recommender

    return load_recommender(trained_shop / "models" / "recommend" / "1", "recommend@1", "cpu")


def shared_data(name: str) -> Path:
    """The folder of a data set. Skips the test if the data set is not there."""
    folder = _SHARED / name
    if not folder.is_dir():
        pytest.skip(f"the data set {name} is not beside this checkout")
    return folder
