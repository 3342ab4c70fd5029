"""Where contenders meet: one Kafka, one folder with the trained models, two cores; and nothing is left of it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from bench import processes
from bench.cores import CoreLayout, layout, unpin
from models import registry
from standfast.core import settings as settings_module
from standfast.core.errors import ModelError
from standfast.core.home import folder
from standfast.core.processes import launching
from standfast.core.settings import Settings
from standfast.kafka.cluster import Cluster

_ENDS_S = 2.0  # whoever needs longer to end in order has been given it by then
_OURS = ("STANDFAST_", "KAFKA_")


@dataclass(frozen=True, slots=True)
class Environment:
    """What every contender is given. `settings` name the Kafka that was started for it; `home` holds the models."""

    settings: Settings
    home: Path
    layout: CoreLayout

    def named(self, prefix: str) -> Settings:
        """The settings with topics that nobody else uses."""
        kafka = self.settings.kafka.model_copy(update={"topic_prefix": prefix})
        return self.settings.model_copy(update={"kafka": kafka})

    def new_home(self, name: str) -> Path:
        """A fresh state folder that has the models and nothing else."""
        return new_home(self.home, name)


@contextmanager
def workplace() -> Iterator[Path]:
    """A temporary folder; at its end every process that was started meanwhile is ended, also on Ctrl-C or SIGTERM."""
    processes.adopt_orphans()
    there_before = set(processes.family(os.getpid()))
    before = signal.signal(signal.SIGTERM, _interrupted)
    place = Path(tempfile.mkdtemp(prefix="standfast-"))
    try:
        yield place
    finally:
        processes.end(set(processes.family(os.getpid())) - there_before, _ENDS_S)
        shutil.rmtree(place, ignore_errors=True)
        signal.signal(signal.SIGTERM, before)


@contextmanager
def shared_environment(settings: Settings, services: tuple[str, ...]) -> Iterator[Environment]:
    """Starts Kafka; when this ends nothing is left of it. Raises ModelError when a service has no trained model."""
    at = layout()
    with workplace() as place:
        home = copied_models(services, place / "models-only")
        with Cluster(settings.kafka.brokers, place / "kafka") as cluster:
            try:
                yield Environment(_alone(settings, cluster.bootstrap_servers), home, at)
            finally:
                unpin([os.getpid()], at)


def _alone(settings: Settings, servers: str) -> Settings:
    """The settings with one worker and one standby a service, that Kafka, and nothing another system may have taken."""
    return settings.for_all_services(workers=1, standbys=1).model_copy(
        update={
            "kafka": settings.kafka.model_copy(update={"bootstrap_servers": servers, "client": {}}),
            "metrics": settings.metrics.model_copy(update={"port": 0}),
            "log": settings.log.model_copy(update={"format": "json"}),
        }
    )


def copied_models(services: tuple[str, ...], home: Path) -> Path:
    """A state folder with the active models in it, so that what is activated meanwhile changes nothing."""
    for name in services:
        version = registry.active(name)
        if version is None:
            raise ModelError(f"there is no trained model of {name} here; run `standfast models train {name}`")
        source = folder("models") / name
        (home / "models" / name).mkdir(parents=True)
        shutil.copytree(registry.folder_of(name, version), home / "models" / name / str(version))
        shutil.copy2(source / "active.json", home / "models" / name)
    return home


def new_home(home: Path, name: str) -> Path:
    """A fresh state folder beside `home`, with its models and nothing else."""
    path = home.parent / name
    shutil.copytree(home / "models", path / "models", copy_function=os.link)
    return path


def environment(settings: Settings, home: Path, **more: str) -> dict[str, str]:
    """A child's environment: exactly these settings and that state folder."""
    theirs = {key: value for key, value in launching.environment().items() if not key.startswith(_OURS)}
    return {**theirs, **settings_module.environment(settings), "STANDFAST_HOME": str(home), **more}


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    """A polite kill unwinds like Ctrl-C does."""
    sys.exit(143)
