"""A nursery whose model is damaged in memory forks nobody any more, says so, and ends."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import numpy as np
import pytest

from consumers.channel.messages import FROM_NURSERY, CheckWeights, Failed, StopOrder, pair, receive, send
from consumers.process.nursery import Nursery
from consumers.service import service
from models.base import LoadedModels
from standfast.core.errors import WeightsDamaged
from standfast.core.settings import Settings, WorkerSettings


class Loaded:
    """A model as far as a nursery knows it."""

    label = "toy@1"

    def __init__(self) -> None:
        self.weights = np.ones(100_000, np.float32)


class Nursed:
    """A nursery in a thread, which checks its model every `check_s` seconds."""

    def __init__(self, check_s: float) -> None:
        settings = Settings(workers=WorkerSettings(check_weights_s=check_s))
        self.channel, theirs = pair()
        self.model = Loaded()
        self.status: int | None = None
        self._nursery = Nursery(theirs, service("search", settings), LoadedModels(self.model), settings)  # type: ignore[arg-type]
        self._theirs = theirs
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self.status = self._nursery.run()

    def ended(self) -> int | None:
        self._thread.join(20)
        self._theirs.close()
        return self.status


def last_word(channel: socket.socket) -> Failed:
    while not isinstance(said := receive(channel, FROM_NURSERY), Failed):
        assert said is not None, "it ended without a word"
    return said


@pytest.mark.parametrize(("check_s", "is_told"), [(1.0, False), (0.0, True)])
def test_it_finds_the_damage_by_itself_or_when_it_is_told_to_look(state: Path, check_s: float, is_told: bool) -> None:
    nursed = Nursed(check_s)
    nursed.model.weights[77_777] = 2.0
    if is_told:
        send(nursed.channel, CheckWeights())
    said = last_word(nursed.channel)
    assert said.damaged
    assert said.reason.startswith("toy@1 is damaged in memory: Loaded.weights is not what was loaded, from its byte ")
    assert nursed.ended() == WeightsDamaged.exit_code
    nursed.channel.close()


def test_one_that_is_whole_goes_on(state: Path) -> None:
    nursed = Nursed(0.1)
    send(nursed.channel, CheckWeights())
    send(nursed.channel, StopOrder())
    assert nursed.ended() == 0
    nursed.channel.close()
