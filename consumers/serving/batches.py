"""One batch: decides on every record, computes the admitted ones, encodes all answers in the order of the requests."""

from __future__ import annotations

import time
from collections.abc import Sequence

import structlog
from msgspec import Struct

from consumers.channel.heartbeat import Heartbeat, RecordId
from consumers.commit.work import Work
from consumers.requests.admission import Admission, Admitted, DeadLetter, Decision, Origin, Refused
from consumers.requests.answers import Answers, Outgoing
from consumers.serving.breaker import Ask, Outcome
from consumers.serving.canary_routing import CanaryRouting, Challenged
from consumers.serving.suspects import ALONE_FROM, DEATHS_ALLOWED, KnownSuspects, record_id
from consumers.serving.tally import Tally
from schemas.records import Item

_log = structlog.get_logger()


class Served(Struct, frozen=True, gc=False):
    """A request and its scores; `model`: the challenger's label if they are its, else empty."""

    admitted: Admitted
    items: list[Item]
    model: str = ""


Settled = Served | Refused | DeadLetter


class Batches:
    """Turns raw records into answers, dead letters and the offsets to commit with them.

    A record that was being computed when its worker died is computed alone the next time, and the heartbeat names no
    other record meanwhile: a second death then counts against this record only. After it the record is dead-lettered.
    A kill from outside is half a death: one of them delays nobody by computing records alone. What was being computed
    at any death is not given to a challenger again, which may have been the cause.

    Args:
        canary: divides the requests between champion and challenger; None, for a worker without one: `ask` has all.
    """

    def __init__(
        self,
        admission: Admission,
        ask: Ask,
        answers: Answers,
        heartbeat: Heartbeat,
        suspects: KnownSuspects,
        model: str,
        canary: CanaryRouting | None = None,
    ) -> None:
        self._admission = admission
        self._ask = ask
        self._canary = canary
        self._answers = answers
        self._heartbeat = heartbeat
        self._model = model
        self._tallies: dict[str, Tally] = {}
        self.replacement = answers.replacement
        self.suspects = suspects
        self.waits = admission.waits
        self.ahead_ms = 0.0

    def tally(self, topic: str) -> Tally:
        """The metrics of this topic's batches."""
        if topic not in self._tallies:
            self._tallies[topic] = Tally(topic, self._model)
        return self._tallies[topic]

    def late(self, origin: Origin) -> bool:
        """Whether the record will be refused for its age, or because its batch, of `ahead_ms`, would be too late."""
        return self._admission.late(origin, self.ahead_ms) is not None

    def allowance_ms(self, origin: Origin) -> float | None:
        """How long the request may take from its timestamp on; None: no limit."""
        return self._admission.allowance_ms(origin)

    def work(self, records: Sequence[Origin], shed: int = 0) -> Work:
        """Computes a batch of one topic and returns its answers, dead letters and offsets; refuses the first `shed`."""
        began = time.perf_counter()
        ids = [record_id(record) for record in records]
        decisions = self._decided(records, ids, shed)
        decoded = time.perf_counter()
        pairs = zip(decisions, ids, strict=True)
        admitted = [(request, record) for request, record in pairs if isinstance(request, Admitted)]
        outcomes = self._computed(admitted)
        computed = time.perf_counter()
        results = [result for decision in decisions for result in _results(decision, outcomes)]
        outgoing = [self._written(result) for result in results]
        timestamps_ms = [record.timestamp_ms for record in records]
        tally = self.tally(records[0].topic)
        tally.computed(timestamps_ms, (began, decoded, computed, time.perf_counter()))
        answers = [result for result in results if not isinstance(result, DeadLetter)]
        there_are_letters = len(answers) < len(results)
        kinds = [result.kind for result in results if isinstance(result, DeadLetter)] if there_are_letters else []
        if self._canary is not None:
            by_champion = [answer for answer in answers if isinstance(answer, Refused) or not answer.model]
            tally.challenged(self._canary.label, len(answers) - len(by_champion))
            answers = by_champion
        tally.settled(["ok" if isinstance(answer, Served) else answer.status for answer in answers], kinds)
        return Work(
            outgoing, {(record.topic, record.partition): record.offset + 1 for record in records}, timestamps_ms
        )

    def reading(self, records: Sequence[Origin]) -> None:
        """Names records in the heartbeat while they are copied, which may kill the process; without records: done."""
        if records:
            self._heartbeat.begin([record_id(record) for record in records])
        else:
            self._heartbeat.end()

    def _decided(self, records: Sequence[Origin], ids: list[RecordId], shed: int) -> list[Decision]:
        """Decodes each record while the heartbeat names all: one that kills its worker now is blamed as in computing.

        A record that is suspected already is named alone while it is decoded.
        """
        suspected = self.suspects.deaths
        self._heartbeat.begin(ids)
        decisions = []
        for index, record in enumerate(records):
            deaths = suspected.get(ids[index], 0) if suspected else 0
            alone = deaths >= ALONE_FROM
            if alone:
                self._heartbeat.begin([ids[index]])
            decisions.append(self._decide(record, deaths, index < shed))
            if alone:
                self._heartbeat.begin(ids)
        self._heartbeat.end()
        return decisions

    def _decide(self, origin: Origin, deaths: float, shed: bool) -> Decision:
        if deaths >= DEATHS_ALLOWED:
            reason = (
                f"{deaths:g} workers died while computing it (a kill that may have come from outside counts half); "
                "fix the record or the model, then send it again"
            )
            return DeadLetter(origin, reason, "poison")
        try:
            return self._admission.decide(origin, self.ahead_ms, shed=shed)
        except Exception as error:  # noqa: BLE001 - it would end one worker after another, and its partition would stop
            _log.exception("a record could not be decided on", partition=origin.partition, offset=origin.offset)
            return DeadLetter(origin, f"{type(error).__name__}: {error}", "failed")

    def _computed(self, admitted: list[tuple[Admitted, RecordId]]) -> dict[int, Outcome | Challenged]:
        """Scores, or why there are none, by `id()` of the request."""
        outcomes_by_id: dict[int, Outcome | Challenged] = {}
        suspected = self.suspects.deaths
        together, alone = admitted, list[list[tuple[Admitted, RecordId]]]()
        if suspected:
            alone = [[pair] for pair in admitted if suspected.get(pair[1], 0) >= ALONE_FROM]
            together = [pair for pair in admitted if suspected.get(pair[1], 0) < ALONE_FROM]
        for group in ([together] if together else []) + alone:
            self._heartbeat.begin([record for _, record in group])
            outcomes = self._outcomes(group)
            outcomes_by_id.update({id(request): outcome for (request, _), outcome in zip(group, outcomes, strict=True)})
            self._heartbeat.end()
        return outcomes_by_id

    def _outcomes(self, group: list[tuple[Admitted, RecordId]]) -> Sequence[Outcome | Challenged]:
        """One outcome for each request, of the champion or of the challenger."""
        deaths = self.suspects.deaths
        if self._canary is None or (deaths and any(record in deaths for _, record in group)):
            return self._ask([request.query for request, _ in group])
        return self._canary.ask([request for request, _ in group])

    def _written(self, result: Settled) -> Outgoing:
        if isinstance(result, Served):
            return self._answers.served(result.admitted, result.items, result.model)
        return self._answers.refused(result) if isinstance(result, Refused) else self._answers.dead(result)


def _results(decision: Decision, outcomes: dict[int, Outcome | Challenged]) -> list[Settled]:
    """What a request comes to. One that the model failed on is refused; if it is to blame, dead-lettered as well."""
    if not isinstance(decision, Admitted):
        return [decision]
    outcome = outcomes[id(decision)]
    if isinstance(outcome, list):
        return [Served(decision, outcome)]
    if isinstance(outcome, Challenged):
        return [Served(decision, outcome.items, outcome.model)]
    refused = Refused(decision.origin, decision.encoding, decision.request_id, outcome.status, outcome.reason)
    return [refused, DeadLetter(decision.origin, outcome.reason, "model")] if outcome.status == "invalid" else [refused]
