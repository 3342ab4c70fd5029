"""`standfast up` with toy models that are published versions: registry, topic and files of versions are the product's.

Run as `python -m tests.support.toys.toy_versions SERVICE …` for the supervisor, which starts nurseries from the same
module. A version's file holds a mark, with which the query `mark` is answered.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from consumers.process import nursery
from models import registry
from models.base import RecommendQuery, SearchQuery
from models.canary import Versions
from schemas.records import Item, SearchRequest
from standfast import system
from standfast.caller import Caller
from standfast.core import settings
from standfast.core.processes.parent_death import tie_to_parent
from standfast.core.status import RoleStatus
from tests.support.toys import toy_nursery
from tests.support.toys.toy_nursery import ToyModel
from tests.support.toys.toys import Toys
from tests.waiting import wait_until

FOLLOWED_S = 60.0  # bounds a wait; on an idle machine a version is on all hosts after two or three seconds
_HERE = "tests.support.toys.toy_versions"


class ToyHost(Toys):
    """One host of a system whose hosts share the topic `models`."""

    module = _HERE

    def __init__(self, home: Path, servers: str, prefix: str, name: str) -> None:
        super().__init__(
            home, servers, prefix, ("search",), STANDFAST_WORKERS__HOST=name,
            STANDFAST_WORKERS__SESSION_TIMEOUT_MS="1000", STANDFAST_SEARCH__WORKERS="1",
        )  # fmt: skip
        home.mkdir(parents=True, exist_ok=True)

    def publish(self, mark: str, megabytes: int = 0) -> str:
        """Publishes a version here and activates it, as a training does; returns its label."""
        return self._run("-c", f"from {_HERE} import publish; print(publish({mark!r}, {megabytes}))").split()[-1]

    def models(self, *words: str) -> str:
        """What `standfast models …` prints, run on this host."""
        return self._run("-m", "standfast", "models", *words)

    def serves(self, label: str) -> None:
        """Waits until every worker and standby of this host has that version."""

        def labels() -> bool:
            rows = self.status().workers
            return bool(rows) and {row.model for row in rows} == {label} and bool(self.active())

        wait_until(labels, FOLLOWED_S, what=f"{label} on {self.home.name}")

    def told(self) -> None:
        """Waits until the topic has a version of this host: one that starts before trains its own."""
        said = "other hosts are told which version serves"
        wait_until(lambda: self.logged(said), FOLLOWED_S, what="a host that tells")

    def follower(self) -> RoleStatus:
        """The process that follows the topic."""
        return next(row for row in self.status().roles if row.id == "models")

    def file(self, version: int) -> dict[str, str]:
        """What the version's file holds here."""
        held: dict[str, str] = json.loads((self.home / "models" / "search" / str(version) / "mark.json").read_text())
        return held

    def _run(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words], env=self._environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def marks(caller: Caller, count: int = 12) -> set[str]:
    """The marks with which requests are answered, by whichever hosts."""
    ids = [os.urandom(8).hex() for _ in range(count)]
    for request_id in ids:
        caller.send(SearchRequest(query="mark", request_id=request_id), FOLLOWED_S)
    answers = caller.answers(ids, FOLLOWED_S)
    assert answers.keys() == set(ids)
    assert {answer.error for answer in answers.values()} == {None}
    return {item.title for answer in answers.values() for item in answer.items}


class MarkedModel(ToyModel):
    """The toy model of a published version."""

    def __init__(self, label: str, mark: str) -> None:
        super().__init__(0)
        self.label = label
        self._mark = mark

    def _answer(self, query: SearchQuery | RecommendQuery) -> list[Item]:
        if isinstance(query, SearchQuery) and query.query == "mark":
            return [Item(self._mark, 1.0, self._mark)]
        return super()._answer(query)


def publish(mark: str, megabytes: int) -> str:
    """Publishes and activates a version of `search` in the state folder of this process; returns its label."""

    def fill(draft: Path) -> tuple[Mapping[str, float], Mapping[str, str]]:
        (draft / "mark.json").write_text(json.dumps({"mark": mark}))
        if megabytes:
            (draft / "weights.npy").write_bytes(random.Random(mark).randbytes(megabytes << 20))
        return {"ndcg_10": 0.5}, {"mark": mark}

    manifest = registry.publish("search", fill)
    registry.activate("search", manifest.version)
    return manifest.label


def load_version(name: str, version: int) -> ToyModel:
    """The version, after its digests were checked."""
    folder, manifest = registry.checked(name, version)
    return MarkedModel(manifest.label, json.loads((folder / "mark.json").read_text())["mark"])


def version_command(name: str, versions: Versions, channel: int) -> list[str]:
    """Replaces `consumers.process.nursery.command`."""
    return [sys.executable, "-m", _HERE, *nursery.arguments(name, versions), str(channel)]


def main(services: list[str]) -> None:
    tie_to_parent(os.getppid())
    nursery.SHARED = ()  # toys need no torch
    nursery.command = version_command
    system.run(settings.load(), services=tuple(services), roles=("models",), embedded=False)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit(toy_nursery.main(sys.argv[1:], load_version))
    main(sys.argv[1:])
