"""A nursery with a toy model, which answers at once, or fails as a bad model or record would if a query says so.

Run as `python -m tests.support.toys.toy_nursery SERVICE PARENT VERSIONS CHANNEL` instead of
`consumers.process.nursery`. Everything but the model is the product's code.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import structlog

from consumers.channel.messages import Failed, Loaded, send
from consumers.process.nursery import Nursery, process_name
from consumers.service import service
from models.base import LoadedModels, RecommendQuery, SearchQuery
from models.canary import Versions
from schemas.records import Item
from standfast.core import logs, settings, telemetry
from standfast.core.errors import IntegrityError, ModelError
from standfast.core.home import home
from standfast.core.processes.lifeline import leave_interrupts_to_parent
from standfast.core.processes.parent_death import set_name, tie_to_parent

REHEARSAL = SearchQuery("white hanging heart", 10)  # of a standby, which must live through it


class ToyModel:
    """Answers with the query itself.

    The queries `die`, `crash`, `raise` and `sleep SECONDS` do what they say; `version` is answered with the version.
    While the file `toy-fails` is in the state folder, every query raises, or those to the versions that it names; the
    versions that `toy-kills` names kill their process. The score is the sum of the weights: 1.
    """

    ignores_user = True

    def __init__(self, version: int) -> None:
        self.label = f"toy@{version}"
        self._version = str(version)
        self.weights = np.full(16, 1 / 16, np.float32)

    def predict(self, queries: Sequence[SearchQuery | RecommendQuery]) -> list[list[Item]]:
        if self._is_named("toy-kills", otherwise=False) and queries[0] != REHEARSAL:
            os.kill(os.getpid(), signal.SIGKILL)
        if self._is_named("toy-fails", otherwise=True):
            raise RuntimeError("device-side assert triggered")
        return [self._answer(query) for query in queries]

    def warm_up(self) -> None:
        return

    def _is_named(self, name: str, *, otherwise: bool) -> bool:
        """Whether the file names this version; `otherwise`: if it is empty."""
        file = home() / name
        return file.exists() and (self._version in file.read_text().split() if file.stat().st_size else otherwise)

    def _answer(self, query: SearchQuery | RecommendQuery) -> list[Item]:
        text = query.query if isinstance(query, SearchQuery) else str(query.user_id)
        word, _, rest = text.partition(" ")
        if word == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif word == "crash":
            os._exit(7)
        elif word == "raise":
            raise ValueError("this request cannot be computed")
        elif word == "sleep":
            time.sleep(float(rest))
        elif word == "version":
            text = self.label
        return [Item(text, float(self.weights.sum()), text)]


def active_version() -> int:
    """The active version of the toy model: the number in the file `toy-version`, else 1."""
    chosen = home() / "toy-version"
    return int(chosen.read_text()) if chosen.exists() else 1


def refuses(version: int) -> bool:
    """Whether this version cannot be loaded: its number is in the file `toy-refuses`."""
    file = home() / "toy-refuses"
    return file.exists() and str(version) in file.read_text().split()


def load_toy(_name: str, version: int) -> ToyModel:
    """The toy model of that version; raises IntegrityError."""
    if refuses(version):
        raise IntegrityError(f"toy@{version}: its file has SHA-256 1, the manifest says 2")
    return ToyModel(version)


def main(arguments: list[str], load: Callable[[str, int], ToyModel] = load_toy) -> int:
    name, parent, wanted, channel = arguments
    set_name(process_name(name))
    tie_to_parent(int(parent))
    leave_interrupts_to_parent()
    configured = settings.load()
    logs.configure(configured.log, f"{name}-nursery")
    line = socket.socket(fileno=int(channel))
    versions = Versions.read(wanted)
    loaded: list[ToyModel] = []
    for version in filter(None, versions):
        try:
            loaded.append(load(name, version))
        except ModelError as error:
            send(line, Failed(str(error), challenger=version == versions.challenger))
            return 1
    models = LoadedModels(*loaded)
    telemetry.become(f"{name}-nursery")
    structlog.get_logger().info("model is loaded", service=name, model=models.champion.label, versions=wanted)
    send(line, Loaded(models.champion.label))
    return Nursery(line, service(name, configured), models, configured).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
