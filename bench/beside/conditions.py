"""The conditions of a comparison in words: core layout, versions and settings, to judge its figures by."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

from bench.beside.contenders import Contender
from bench.environment import Environment
from models import registry
from models.encoder.model import torch_device
from models.kernels.linear import has_bf16
from standfast.core import status
from standfast.core.services import NAMES
from standfast.core.settings import Settings
from standfast.kafka.lock import KAFKA_VERSION


def comparison_conditions(
    environment: Environment, services: Sequence[str], contenders: Sequence[Contender], rounds: int, requests: str
) -> dict[str, str]:
    """One line for each condition that affects the figures."""
    return {
        "layout": str(environment.layout),
        "order": f"{rounds} rounds; in each the raw limit, then a contender started anew, one after the other",
        "requests": f"{requests}; no two alike, the same for all; a warm-up before each run",
        **system_conditions(environment.settings, services),
        **{contender.name: _contender(contender) for contender in contenders},
    }


def system_conditions(settings: Settings, services: Sequence[str] = NAMES) -> dict[str, str]:
    """The conditions that are the same for every contender."""
    kafka = settings.kafka
    brokers = f"{kafka.brokers} broker{'s' if kafka.brokers > 1 else ''}"
    return {
        "kafka": f"{KAFKA_VERSION}, {brokers}, {kafka.partitions} partitions; warmed up first",
        "torch": f"{version('torch')}, 1 thread, {_precision(settings)}",
        **{name: _service(settings, name) for name in services},
        "beside it": _beside(),
    }


def _service(settings: Settings, name: str) -> str:
    options = settings.service(name)
    return f"model {name}@{registry.active(name)}, device {options.device}, batches of at most {options.batch}"


def _contender(contender: Contender) -> str:
    package = contender.package or "confluent-kafka"
    return f"{package} {contender.version}; {contender.how}; {contender.delivery}"


def _precision(settings: Settings) -> str:
    search = settings.service("search")
    half = search.precision == "auto" and has_bf16(torch_device(search.device))
    return "the encoder in bfloat16 for everyone" if half else "the encoder in float32 for everyone"


def _beside() -> str:
    running = status.read()
    if running is None:
        return "no other system of this state folder"
    return (
        f"the system of this state folder (process {running.supervisor_pid}) ran meanwhile: stop it for better figures"
    )
