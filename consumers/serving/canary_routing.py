"""Divides each batch between champion and challenger by the requests' keys, and merges their answers.

What the challenger does not answer the champion does, in the same batch, so no caller sees that it failed. Champion and
challenger have a cache, a guard and a breaker each. A record that was being computed when its worker died is not given
to the challenger again (`consumers.serving.batches`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from consumers.channel.messages import CanaryOrder, CanaryReport
from consumers.requests.admission import Admitted
from consumers.serving.breaker import Ask, Outcome
from consumers.serving.shadow import Shadow
from consumers.serving.shares import limit, place
from consumers.serving.side_by_side import SideBySide
from models.canary import Versions
from schemas.records import Item

_CONTROL_EVERY = 8  # batches


class Challenged(Struct, frozen=True, gc=False):
    """An answer of the challenger, whose label is `model`."""

    items: list[Item]
    model: str


class CanaryRouting:
    """The canary of one worker. Until it is told otherwise the champion answers everything.

    Args:
        champion, challenger: what they answer; the challenger may have no answer.
        label: the challenger's, as its answers carry it.
        versions: of the models that the worker has in memory.
    """

    def __init__(self, champion: Ask, challenger: Ask, label: str, versions: Versions, seen: SideBySide) -> None:
        self._champion = champion
        self._challenger = challenger
        self.label = label
        self._versions = versions
        self._seen = seen
        self._shadow = Shadow(challenger, seen)
        self._limit = 0
        self._shadows = False
        self._batches = 0
        self._asked = False

    def follow(self, order: CanaryOrder) -> None:
        """Sets share and shadow; any thread may call it. An order about another challenger ends this one's part.

        If the challenger is to serve from now on, all goes on as it is, until this worker is relieved.
        """
        if order.champion == self._versions.challenger:
            return
        ours = (order.champion, order.challenger) == self._versions
        if ours:
            self._seen.begin(order.since)
        self._limit = limit(order.share) if ours else 0
        self._shadows = ours and order.shadow

    def report(self) -> CanaryReport:
        """The figures of this worker since the canary began, for the supervisor."""
        return CanaryReport(self._seen.since, self._seen.figures)

    def ask(self, requests: Sequence[Admitted]) -> list[Outcome | Challenged]:
        """One outcome for each request, in their order."""
        self._asked = True
        outcomes: dict[int, Outcome | Challenged] = {}
        failed: list[int] = []
        chosen = [index for index, request in enumerate(requests) if self.takes(request)] if self._limit else []
        if chosen:
            answers = self._challenger([requests[index].query for index in chosen])
            for index, outcome in zip(chosen, answers, strict=True):
                if isinstance(outcome, list):
                    outcomes[index] = Challenged(outcome, self.label)
                elif outcome.status == "invalid":
                    failed.append(index)
        others = [index for index in range(len(requests)) if index not in outcomes]
        for part in self._parts(others, len(chosen)):
            outcomes.update(zip(part, self._champion([requests[index].query for index in part]), strict=True))
        if failed:
            self._seen.failed(sum(isinstance(outcomes[index], list) for index in failed))
        if self._shadows:
            self._cast(requests, set(others).difference(chosen), outcomes)
        return [outcomes[index] for index in range(len(requests))]

    def takes(self, request: Admitted) -> bool:
        """Whether the request is in the challenger's share: by its user, else by its key, else by its id."""
        key = request.user_id.encode(errors="replace") if request.user_id else request.origin.key
        return place(self.label, key or request.request_id.encode(errors="replace")) < self._limit

    def between(self) -> bool:
        """Work between two batches: the shadow's, after a look at Kafka brought nothing. Whether there is more."""
        idle, self._asked = not self._asked, False
        if not self._shadows:
            self._shadow.clear()
        return self._shadow.step(idle=idle)

    def _parts(self, others: list[int], chosen: int) -> Iterator[list[int]]:
        """All in one; now and then a part as large as the challenger's apart, so that their times can be compared."""
        self._batches += 1
        control = chosen if self._batches % _CONTROL_EVERY == 0 and chosen < len(others) else 0
        yield from filter(None, (others[:control], others[control:]))

    def _cast(self, requests: Sequence[Admitted], indices: set[int], outcomes: dict[int, Outcome | Challenged]) -> None:
        for index in sorted(indices):
            outcome = outcomes[index]
            if isinstance(outcome, list):
                self._shadow.take(requests[index].query, outcome)
