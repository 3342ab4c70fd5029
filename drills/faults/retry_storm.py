"""Impatient callers: a request without a good answer is sent again and again, so that a slow system gets more to do."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from confluent_kafka import Consumer, Producer

from consumers.requests.admission import origin_of
from drills.evidence.offsets import ends_of
from drills.evidence.verdict import Finding
from drills.faults.flood import Flood
from drills.faults.injector import Kind
from drills.faults.traces import number_of, status_of
from drills.params import Param
from standfast.core import clients
from standfast.core.consumed import Consumed

_SHOWN = 20  # requests sent again by which the storm is seen
_ENDS_S = 7.0


@dataclass(slots=True)
class _Call:
    """One request of one caller; `again_at` (monotonic): when he sends it again unless it is answered by then."""

    number: int
    value: bytes
    again_at: float
    tries: int = 1


class RetryStorm(Flood):
    """`per_s` callers a second, each of whom sends his request up to `tries` times, every `patience_ms`."""

    name = "load-retry-storm"

    def may_kill(self) -> bool:
        """A storm begins with something that broke, which a drill may be doing at the same time."""
        return True

    def injected(self, within_s: float) -> Finding:
        """Whether requests that were sent again lie in the request topic."""
        deadline = time.monotonic() + within_s
        while True:
            again = sum(not number.endswith(".1") for number in self._look().sent)
            text = f"{again} requests were sent again to {self.system.service.requests}"
            if again >= _SHOWN:
                return Finding("passed", text)
            if time.monotonic() >= deadline:
                return Finding("failed", f"{text}; all others were answered within patience_ms")
            time.sleep(0.05)

    def _send(self) -> None:
        producer = Producer(clients.requests(self.system.settings, "standfast-faults"))
        answers = Consumer(clients.answers(self.system.settings, "standfast-faults"))
        waiting: deque[_Call] = deque()
        answered: set[int] = set()
        try:
            answers.assign(ends_of(answers, self.system.service.results))
            for call in self._due(waiting, answered):
                mark = f"{call.number}.{call.tries}"
                self.write_one(producer, call.number, call.value, mark, float(self.aim.params["patience_ms"]))
                producer.poll(0)
                answered |= self._answered(answers)
        finally:
            producer.flush(_ENDS_S)
            answers.close()

    def _due(self, waiting: deque[_Call], answered: set[int]) -> Iterator[_Call]:
        """The requests to send now, first ones and again, until the storm is to stop."""
        patience_s, tries = float(self.aim.params["patience_ms"]) / 1000, int(self.aim.params["tries"])
        for number, value in enumerate(self.values()):
            waiting.append(_Call(number, cast("bytes", value), time.monotonic() + patience_s))
            yield waiting[-1]
            while waiting and waiting[0].again_at <= time.monotonic() and not self._stop.is_set():
                call = waiting.popleft()
                if call.number not in answered and call.tries < tries:
                    call.tries, call.again_at = call.tries + 1, time.monotonic() + patience_s
                    waiting.append(call)
                    yield call

    def _answered(self, answers: Consumer) -> set[int]:
        """The callers who have a good answer, of the answers that have come."""
        messages = cast("list[Consumed]", answers.consume(500, 0))
        origins = [origin_of(message) for message in messages if message.error() is None]
        numbers = (
            number for origin in origins if (number := number_of(origin, self.aim)) and status_of(origin) == "ok"
        )
        return {int(number.partition("-")[2].partition(".")[0]) for number in numbers}


RETRY_STORM = Kind(
    "load-retry-storm",
    "callers who send a request again and again until it has a good answer",
    RetryStorm,
    undo="sending stops; the drill checks that each of these requests is answered, be it with deadline_exceeded",
    params=(
        Param("per_s", 200.0, "callers a second", 1, 100_000),
        Param("patience_ms", 50.0, "each asks again after so long, which is also his request's deadline", 1, 60_000),
        Param("tries", 5, "each asks so often at most", 2, 100),
        Param("at_most_s", 10.0, "it stops after so long", 0.1, 300),
    ),
    figure=None,
)
