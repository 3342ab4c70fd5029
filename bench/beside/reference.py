"""This machine's own speed, which the ratios of a run are taken to: a bare loop through Kafka and one forward pass."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import msgspec

from bench.beside.contender_process import running
from bench.beside.contenders import BARE
from bench.beside.raw import raw
from bench.environment import shared_environment
from bench.requests import RequestMaker
from standfast.core.services import NAMES
from standfast.core.settings import Settings

_REQUESTS, _WARM = 200, 50


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """Medians in milliseconds. `pass_ms`: one request of each service by its model alone, already warm.

    `bare_ms`: one request in flight through the loop that computes nothing, on a Kafka that was just started.
    """

    bare_ms: float
    pass_ms: dict[str, float]

    def __str__(self) -> str:
        passes = ", ".join(f"one {name} {ms:.2f} ms" for name, ms in self.pass_ms.items())
        return f"bare loop {self.bare_ms:.1f} ms; forward pass of {passes}"


def reference(settings: Settings, tell: Callable[[str], None]) -> Reference:
    """Measures it, in a quarter of a minute; nothing is pinned to a core, and nothing is left running."""
    tell("the machine's own speed: bare loop and forward passes")
    with shared_environment(settings, NAMES) as environment:
        passes = {}
        for name in NAMES:
            options, maker = environment.settings.service(name), RequestMaker(name)
            with raw(name, options.device, options.precision, environment.home) as model:
                model.run(maker.make(_WARM).requests, 1)
                passes[name] = round(statistics.median(model.run(maker.make(_REQUESTS).requests, 1).seconds) * 1000, 2)
        maker = RequestMaker("recommend")
        with running(BARE, environment, "recommend", "reference", maker.make(1).requests[0]) as (_, loop):
            loop.run(maker.make(_WARM).requests, 1)
            bare = loop.run(maker.make(_REQUESTS).requests, 1)
        return Reference(bare_ms=bare.ms(0.5), pass_ms=passes)
