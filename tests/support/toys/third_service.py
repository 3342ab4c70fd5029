"""A third service, complete in one file: it answers a text with the text backwards."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from schemas.records import Item, ServiceRequest
from standfast.core.sections import ServiceSettings
from standfast.core.services.spec import ServiceSpec

_HERE = f"{__name__}:"


class ReverseSettings(ServiceSettings):
    """The reversing service."""

    longest: int = Field(20, ge=1)


class ReverseRequest(ServiceRequest, frozen=True, kw_only=True):
    """One text to be reversed."""

    avro_name: ClassVar[str] = "reverse_request"
    text: str
    request_id: str | None = None
    k: int = 10
    user_id: str | None = None


@dataclass(frozen=True)
class ReverseQuery:
    text: str


class ReverseModel:
    """Answers a text with the text backwards, titled with the mark from its training."""

    def __init__(self, label: str, mark: str) -> None:
        self.label = label
        self._mark = mark

    def predict(self, queries: Sequence[ReverseQuery]) -> list[list[Item]]:
        return [[Item(query.text[::-1], 1.0, self._mark)] for query in queries]

    def warm_up(self) -> None:
        return


def query(request: ReverseRequest, settings: ReverseSettings, known: tuple[str, ...]) -> ReverseQuery | str:
    too_long = len(request.text) > settings.longest
    return f"text is longer than {settings.longest}" if too_long else ReverseQuery(request.text)


def load(folder: Path, label: str, device: str) -> ReverseModel:
    return ReverseModel(label, json.loads((folder / "reverse.json").read_text())["mark"])


def train(shop: object, folder: Path, show: object, options: object) -> tuple[dict[str, float], dict[str, str]]:
    (folder / "reverse.json").write_text(json.dumps({"mark": "trained"}))
    return {}, {}


def asked(words: Sequence[str]) -> Callable[[str, int], Any]:
    return lambda request_id, k: ReverseRequest(request_id=request_id, k=k, text=request_id)


SPEC = ServiceSpec(
    name="reverse",
    about="texts backwards",
    key="any",
    settings=ReverseSettings,
    request=_HERE + "ReverseRequest",
    query=_HERE + "query",
    model=_HERE + "load",
    training=_HERE + "train",
    asked=_HERE + "asked",
    rehearsal=b'{"text": "level"}',
)
