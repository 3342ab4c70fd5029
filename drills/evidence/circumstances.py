"""Under which circumstances a drill ran: machine, load, versions, commit, models, settings, clocks; never a secret."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from msgspec import Struct
from pydantic import SecretStr

from models import registry
from standfast.core.errors import StandfastError
from standfast.core.sections import Section
from standfast.core.settings import Settings

_PACKAGES = ("standfast", "confluent-kafka", "torch", "numpy", "msgspec")
_SOURCE = Path(registry.__file__).parents[1]
_GIT_WITHIN_S = 2.0
HIDDEN = "(set, not shown)"


class Circumstances(Struct, frozen=True, omit_defaults=True):
    """Names and texts, for people. `models`: each label, such as search@3, with the digest of its files."""

    machine: dict[str, str] = {}
    versions: dict[str, str] = {}
    models: dict[str, str] = {}
    settings: dict[str, str] = {}
    clocks: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Moment:
    """Both clocks in seconds, and the one-minute load average: read at the start of a drill and at its end."""

    wall: float
    monotonic: float
    load: float

    @staticmethod
    def now() -> Moment:
        """This one."""
        return Moment(time.time(), time.monotonic(), os.getloadavg()[0])


def circumstances(settings: Settings, models: Iterable[str], start: Moment) -> Circumstances:
    """Those of a drill that began at `start` and ends now, with workers that had these models (their labels)."""
    end = Moment.now()
    return Circumstances(
        machine=_machine(start, end),
        versions={**_versions(), **_commit()},
        models={label: _digest(label) for label in sorted(set(models))},
        settings=not_default(settings),
        clocks=_clocks(start, end),
    )


def not_default(settings: Settings) -> dict[str, str]:
    """The settings that differ from their defaults, by `section.key`; of what may be secret only that it is set."""
    found: dict[str, str] = {}
    for name, value in settings:
        if isinstance(value, Section):
            default = type(value).model_construct()
            for key, set_to in value:
                if set_to != getattr(default, key, None):
                    found[f"{name}.{key}"] = _shown(set_to)
        elif value is not None:
            found[name] = _shown(value)
    return found


def _shown(value: object) -> str:
    secrets = value.values() if isinstance(value, dict) else [value]
    return HIDDEN if any(isinstance(secret, SecretStr) for secret in secrets) else str(value)


def _machine(start: Moment, end: Moment) -> dict[str, str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cores": f"{os.cpu_count()} ({len(os.sched_getaffinity(0))} of them usable)",
        "processor": _processor(),
        "memory": f"{memory:.1f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "load average": f"{start.load:.1f} at the start, {end.load:.1f} at the end",
    }


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open() as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _commit() -> dict[str, str]:
    """The commit of the checkout that the program runs from; nothing if it runs from an installed package."""
    if not (_SOURCE / ".git").exists():
        return {}
    head, changed = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--untracked-files=no")
    return {"commit": head + (", and changes that are not committed" if changed else "")} if head else {}


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(_SOURCE), "--no-optional-locks", *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_GIT_WITHIN_S, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _digest(label: str) -> str:
    """The digest of a model's manifest, which has those of its files; empty if this machine does not have it."""
    name, _, number = label.partition("@")
    try:
        return registry.manifest_of(name, int(number)).digest
    except (StandfastError, ValueError, OSError):
        return ""


def _clocks(start: Moment, end: Moment) -> dict[str, str]:
    info = time.get_clock_info("monotonic")
    drift_ms = ((end.wall - start.wall) - (end.monotonic - start.monotonic)) * 1000
    return {
        "latency": f"one monotonic clock of the drill runner, resolution {info.resolution:g} s ({info.implementation})",
        "wall clock": f"moved by {drift_ms:+.3f} ms against it during the drill",
    }
