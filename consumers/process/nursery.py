"""One process per service that loads the model once, and its challenger if there is one, and forks workers from itself.

A fork shares the model's memory (about 150 MB a worker, not a gigabyte) and takes milliseconds instead of seconds.
It is safe because a nursery answers nothing, opens no Kafka client and starts no thread. Its workers outlive it, and
serve until those of the next nursery take over. With CUDA, whose contexts do not survive a fork, each worker is a fresh
process that loads its own model and sees one device.
"""

from __future__ import annotations

import gc
import os
import selectors
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import structlog

from consumers.channel.messages import (
    BEAT_S,
    TO_NURSERY,
    Beat,
    CheckWeights,
    Failed,
    Fork,
    Forked,
    Loaded,
    StopOrder,
    receive_with_descriptor,
    send,
)
from consumers.process import offspring
from consumers.process import worker_process as process
from consumers.process.devices import freest, uses_cuda, visible
from consumers.process.weights_watch import WeightsWatch
from consumers.service import Service, service
from models.base import LoadedModels, Model
from models.canary import Versions
from models.weights import Weights
from standfast.core import logs, settings, telemetry
from standfast.core.errors import ChallengerRefused, StandfastError, WeightsDamaged
from standfast.core.processes.lifeline import leave_interrupts_to_parent
from standfast.core.processes.parent_death import set_name, tie_to_adopter, tie_to_parent

_log = structlog.get_logger()

MODULE = "consumers.process.nursery"
# What a process imports from which nurseries are forked: 2.4 s of a core, which each would need for itself.
SHARED: tuple[str, ...] = ("torch", MODULE)
ENVIRONMENT = {
    # One thread per process: workers run in parallel already, and a process with threads must not fork.
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # Huge pages if available halve the time to fork a worker, and the time to free a dead one's memory.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
_OF_NO_CUDA = Versions(0)  # where the nursery has the models, nobody asks it for versions


class Nursery:
    """Forks (or, with CUDA, starts) workers when the supervisor orders it; they are the supervisor's own children.

    Args:
        models: None with CUDA, where each worker loads its own.
        versions: of the models, for those workers.
        devices: the CUDA devices that they are spread over.
    """

    def __init__(
        self,
        channel: socket.socket,
        service: Service,
        models: LoadedModels | None,
        configured: settings.Settings,
        versions: Versions = _OF_NO_CUDA,
        devices: Sequence[str] = (),
    ) -> None:
        self._channel = channel
        self._service = service
        self._models = models
        self._settings = configured
        self._versions = versions
        self._devices = devices
        self._weights = Weights(models.watched if models is not None else None)
        self._watch = WeightsWatch(self._weights, configured.workers.check_weights_s)
        self._device_of: dict[int, str] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(channel, selectors.EVENT_READ)

    def run(self) -> int:
        """Blocks until the supervisor orders a stop or is gone; returns the exit status.

        It ends before it forks anybody else when its model's weights are not what was loaded any more.
        """
        try:
            while self._step():
                send(self._channel, Beat())
        except WeightsDamaged as error:
            _log.error("nursery ends", service=self._service.name, reason=str(error))
            send(self._channel, Failed(str(error), damaged=True))
            return error.exit_code
        return 0

    def _step(self) -> bool:
        """Obeys what has come, for half a second at most; False: to end. Raises WeightsDamaged."""
        for key, _ in self._selector.select(BEAT_S):
            if key.fileobj is not self._channel:
                self._free(key)
            elif not self._obey():
                return False
        self._refuse(self._watch.step())
        return True

    def _refuse(self, damage: str) -> None:
        if damage and self._models is not None:
            raise WeightsDamaged(f"{self._models.champion.label} is damaged in memory: {damage}")

    def _obey(self) -> bool:
        order = receive_with_descriptor(self._channel, TO_NURSERY)
        if order is None or isinstance(order[0], StopOrder):
            return False
        message, descriptor = order
        if isinstance(message, Fork):
            self._make(message, descriptor)
        elif isinstance(message, CheckWeights):
            self._refuse(self._weights.damage())
        return True

    def _make(self, order: Fork, descriptor: int | None) -> None:
        """Makes the process; if it cannot, the supervisor sees the worker's channel closed and tries again later.

        The nursery and its workers survive a lack of file descriptors (the kernel then drops the one that came with the
        order), of memory or of processes.
        """
        if descriptor is None:
            _log.error("no process made: no descriptor is left for it", slot=order.slot)
            return
        try:
            send(self._channel, Forked(order.slot, self._made(order, descriptor)))
        except OSError as error:
            _log.error("no process made", slot=order.slot, error=str(error))
        finally:
            os.close(descriptor)

    def _made(self, order: Fork, descriptor: int) -> int:
        if self._models is None:
            return self._spawned(order, descriptor)
        models = self._models
        return offspring.fork(order.slot, lambda: self._child(order, descriptor, models))

    def _child(self, order: Fork, descriptor: int, models: LoadedModels) -> int:
        """Runs in the forked process."""
        self._selector.close()
        self._channel.close()
        channel = socket.socket(fileno=os.dup(descriptor))
        service = replace(self._service, workers=order.workers)
        return process.start(order.slot, channel, service, models, self._settings, self._weights)

    def _spawned(self, order: Fork, descriptor: int) -> int:
        """Starts a worker that loads its own model and sees one device; returns its pid."""
        device = freest(self._devices, self._device_of.values())
        supervisor = str(os.getppid())

        def words() -> list[str]:
            name = self._service.name
            return [*command(name, self._versions, descriptor), order.slot, str(order.workers), supervisor]

        pid = offspring.spawn(words, descriptor, {**os.environ, "CUDA_VISIBLE_DEVICES": device})
        self._device_of[pid] = device
        with suppress(OSError):  # without it the device counts as taken until the nursery ends
            self._selector.register(os.pidfd_open(pid), selectors.EVENT_READ, pid)
        return pid

    def _free(self, key: selectors.SelectorKey) -> None:
        """A process with a device of its own has ended."""
        self._device_of.pop(key.data, None)
        self._selector.unregister(key.fileobj)
        os.close(key.fd)


def process_name(service: str) -> str:
    """What `ps -o comm` shows of its 15 first bytes for a service's nursery."""
    return f"{service}-nursery"


def arguments(name: str, versions: Versions) -> list[str]:
    """The arguments of a nursery for this service and these versions; the number of its channel follows."""
    return [name, str(os.getpid()), str(versions)]


def command(name: str, versions: Versions, channel: int) -> list[str]:
    """The command line of a nursery that is a program of its own; it inherits the descriptor `channel`."""
    return [sys.executable, "-P", "-m", MODULE, *arguments(name, versions), str(channel)]


def main(words: list[str]) -> int:
    """Runs a nursery (`service parent versions channel`), or one CUDA worker (`… slot workers supervisor`)."""
    name, parent, wanted, channel, *worker = words
    set_name(worker[0] if worker else process_name(name))
    if worker:
        tie_to_adopter(int(parent), int(worker[2]))
    else:
        tie_to_parent(int(parent))
    leave_interrupts_to_parent()
    configured = settings.load()
    logs.configure(configured.log, f"{name}-nursery")
    served = service(name, configured)
    versions = Versions.read(wanted)
    device, precision = configured.service(name).device, configured.service(name).precision
    supervisor = socket.socket(fileno=int(channel))
    try:
        if worker:
            served = replace(served, workers=int(worker[1]))
            loaded = _loaded(name, versions, "cuda", precision, needs_both=False)
            return process.start(worker[0], supervisor, served, loaded, configured)
        devices = visible(device) if uses_cuda(device) else []
        models = None if devices else _loaded(name, versions, "cpu", precision)
    except StandfastError as error:
        _log.error("the model cannot be loaded", service=name, reason=str(error))
        send(supervisor, Failed(str(error)[:2000], challenger=isinstance(error, ChallengerRefused)))
        return 1
    telemetry.become(f"{name}-nursery")
    if configured.schema_registry_url is not None:
        import schemas.registry  # noqa: F401 - before the fork: imported after it, each worker would start 0.3 s later
    gc.collect()
    gc.freeze()  # without this the collector would write to, and so copy, every page of the model in every child
    _log.info("model is loaded", service=name, model=models.champion.label if models else "", versions=wanted)
    send(supervisor, Loaded(models.champion.label if models else f"{name}@{versions.champion}"))
    return Nursery(supervisor, served, models, configured, versions, devices).run()


def _loaded(name: str, versions: Versions, device: str, precision: str, *, needs_both: bool = True) -> LoadedModels:
    """The champion, and the challenger if there is one. Raises ChallengerRefused for that one, if both are needed."""
    from models.loading import load

    champion: Model[Any] = load(name, versions.champion, device, precision)
    if versions.challenger is None:
        return LoadedModels(champion)
    try:
        return LoadedModels(champion, load(name, versions.challenger, device, precision))
    except Exception as error:
        refused = ChallengerRefused(f"{name}@{versions.challenger} cannot be loaded: {error}")
        if needs_both:
            raise refused from error
        _log.error("the challenger cannot be loaded; the champion serves alone", service=name, reason=str(refused))
        return LoadedModels(champion)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
