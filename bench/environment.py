"""What the contenders of a comparison share: one Kafka, one folder with the trained models, and two cores."""

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

_ENDS_S = 2.0  # for leftovers only: processes that need longer to stop have been stopped before
_OURS = ("STANDFAST_", "KAFKA_")


@dataclass(frozen=True, slots=True)
class Environment:
    """What every contender uses. `settings` name the Kafka that was started for it; `home` has the models."""

    settings: Settings
    home: Path
    layout: CoreLayout

    def named(self, prefix: str) -> Settings:
        """The settings with a topic prefix of their own."""
        kafka = self.settings.kafka.model_copy(update={"topic_prefix": prefix})
        return self.settings.model_copy(update={"kafka": kafka})

    def new_home(self, name: str) -> Path:
        """A new state folder with only the models."""
        return new_home(self.home, name)


@contextmanager
def workplace() -> Iterator[Path]:
    """A temporary folder; on exit, also by Ctrl-C or SIGTERM, every process started meanwhile is ended."""
    processes.adopt_orphans()
    there_before = set(processes.family(os.getpid()))
    before = signal.signal(signal.SIGTERM, _interrupted)
    temporary = Path(tempfile.mkdtemp(prefix="standfast-"))
    try:
        yield temporary
    finally:
        processes.end(set(processes.family(os.getpid())) - there_before, _ENDS_S)
        shutil.rmtree(temporary, ignore_errors=True)
        signal.signal(signal.SIGTERM, before)


@contextmanager
def shared_environment(settings: Settings, services: tuple[str, ...]) -> Iterator[Environment]:
    """Starts Kafka and stops it on exit, leaving nothing. Raises ModelError if a service has no trained model."""
    core_layout = layout()
    with workplace() as temporary:
        home = copied_models(services, temporary / "models-only")
        with Cluster(settings.kafka.brokers, temporary / "kafka") as cluster:
            try:
                yield Environment(_alone(settings, cluster.bootstrap_servers), home, core_layout)
            finally:
                unpin([os.getpid()], core_layout)


def _alone(settings: Settings, servers: str) -> Settings:
    """The settings with one worker and one standby a service, on that Kafka, with a free metrics port."""
    return settings.for_all_services(workers=1, standbys=1).model_copy(
        update={
            "kafka": settings.kafka.model_copy(update={"bootstrap_servers": servers, "client": {}}),
            "metrics": settings.metrics.model_copy(update={"port": 0}),
            "log": settings.log.model_copy(update={"format": "json"}),
        }
    )


def copied_models(services: tuple[str, ...], home: Path) -> Path:
    """A state folder with copies of the active models, so that a model activated later changes nothing."""
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
    """A new state folder beside `home`, with only its models (as hard links)."""
    path = home.parent / name
    shutil.copytree(home / "models", path / "models", copy_function=os.link)
    return path


def child_environment(settings: Settings, home: Path, **more: str) -> dict[str, str]:
    """The environment variables of a child process that has exactly these settings and that state folder."""
    inherited = {key: value for key, value in launching.environment().items() if not key.startswith(_OURS)}
    return {**inherited, **settings_module.environment(settings), "STANDFAST_HOME": str(home), **more}


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    """Handles SIGTERM by unwinding as Ctrl-C does."""
    sys.exit(143)
