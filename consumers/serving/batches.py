"""One batch: decide on every record, compute what was admitted, encode all answers in the order of the requests."""

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
from consumers.serving.suspects import DEATHS_ALLOWED, Told, record_id
from consumers.serving.tally import Tally
from schemas.records import Item

_log = structlog.get_logger()


class Served(Struct, frozen=True, gc=False):
    """A request and its scores."""

    admitted: Admitted
    items: list[Item]


Settled = Served | Refused | DeadLetter


class Batches:
    """Turns raw messages into the work they owe to Kafka.

    A record that was being computed when its worker died is computed alone, with the heartbeat naming only it, so that
    a second death convicts it and not its neighbours; after that it is dead-lettered.
    """

    def __init__(
        self, admission: Admission, ask: Ask, answers: Answers, heartbeat: Heartbeat, suspects: Told, model: str
    ) -> None:
        self._admission = admission
        self._ask = ask
        self._answers = answers
        self._heartbeat = heartbeat
        self._model = model
        self._tallies: dict[str, Tally] = {}
        self.instead = answers.instead
        self.suspects = suspects
        self.waits = admission.waits
        self.ahead_ms = 0.0

    def tally(self, topic: str) -> Tally:
        """Where batches of this topic are counted."""
        if topic not in self._tallies:
            self._tallies[topic] = Tally(topic, self._model)
        return self._tallies[topic]

    def late(self, origin: Origin) -> bool:
        """Whether the record will be refused for its age; `ahead_ms` is how long its batch would take."""
        return self._admission.late(origin, self.ahead_ms) is not None

    def allowance_ms(self, origin: Origin) -> float | None:
        """How long its caller lets the request take; None: as long as it likes."""
        return self._admission.allowance_ms(origin)

    def work(self, records: Sequence[Origin], shed: int = 0) -> Work:
        """Computes a batch of one topic and returns its answers, dead letters and offsets; refuses the first `shed`."""
        began = time.perf_counter()
        ids = [record_id(record) for record in records]
        decisions = self._decided(records, ids, shed)
        decoded = time.perf_counter()
        admitted = [(one, at) for one, at in zip(decisions, ids, strict=True) if isinstance(one, Admitted)]
        outcomes = self._computed(admitted)
        computed = time.perf_counter()
        settled = [part for decision in decisions for part in _settled(decision, outcomes)]
        outgoing = [self._written(one) for one in settled]
        timestamps_ms = [record.timestamp_ms for record in records]
        tally = self.tally(records[0].topic)
        tally.computed(timestamps_ms, (began, decoded, computed, time.perf_counter()))
        tally.settled(
            [_status(one) for one in settled if not isinstance(one, DeadLetter)],
            [one.kind for one in settled if isinstance(one, DeadLetter)],
        )
        return Work(
            outgoing, {(record.topic, record.partition): record.offset + 1 for record in records}, timestamps_ms
        )

    def reading(self, records: Sequence[Origin]) -> None:
        """Names records in the heartbeat that are being copied, which may end the process; with none it is over."""
        if records:
            self._heartbeat.begin([record_id(record) for record in records])
        else:
            self._heartbeat.end()

    def _decided(self, records: Sequence[Origin], ids: list[RecordId], shed: int) -> list[Decision]:
        """Decodes each with the heartbeat naming all: who dies of one is to be blamed as who dies computing it."""
        suspected = self.suspects.deaths
        self._heartbeat.begin(ids)
        decisions = []
        for number, record in enumerate(records):
            deaths = suspected.get(ids[number], 0) if suspected else 0
            if deaths:
                self._heartbeat.begin([ids[number]])
            decisions.append(self._decide(record, deaths, number < shed))
            if deaths:
                self._heartbeat.begin(ids)
        self._heartbeat.end()
        return decisions

    def _decide(self, origin: Origin, deaths: int, shed: bool) -> Decision:
        if deaths >= DEATHS_ALLOWED:
            reason = f"{deaths} workers died while computing it; fix the record or the model, then send it again"
            return DeadLetter(origin, reason, "poison")
        try:
            return self._admission.decide(origin, self.ahead_ms, shed=shed)
        except Exception as error:  # noqa: BLE001 - it would end one worker after the other, and no one's turn would come
            _log.exception("a record could not be decided on", partition=origin.partition, offset=origin.offset)
            return DeadLetter(origin, f"{type(error).__name__}: {error}", "failed")

    def _computed(self, admitted: list[tuple[Admitted, RecordId]]) -> dict[int, Outcome]:
        """Scores, or why there are none, by the identity of the request."""
        outcomes_by_id: dict[int, Outcome] = {}
        suspected = self.suspects.deaths
        together = [pair for pair in admitted if pair[1] not in suspected] if suspected else admitted
        alone = [[pair] for pair in admitted if pair[1] in suspected] if suspected else []
        for group in ([together] if together else []) + alone:
            self._heartbeat.begin([at for _, at in group])
            outcomes = self._ask([one.query for one, _ in group])
            outcomes_by_id.update({id(one): outcome for (one, _), outcome in zip(group, outcomes, strict=True)})
            self._heartbeat.end()
        return outcomes_by_id

    def _written(self, settled: Settled) -> Outgoing:
        if isinstance(settled, Refused):
            return self._answers.refused(settled)
        if isinstance(settled, DeadLetter):
            return self._answers.dead(settled)
        return self._answers.served(settled.admitted, settled.items)


def _status(settled: Served | Refused) -> str:
    return settled.status if isinstance(settled, Refused) else "ok"


def _settled(decision: Decision, outcomes: dict[int, Outcome]) -> list[Settled]:
    """What becomes of it after computing: what the model failed on is refused, and kept if it is to blame itself."""
    if not isinstance(decision, Admitted):
        return [decision]
    outcome = outcomes[id(decision)]
    if isinstance(outcome, list):
        return [Served(decision, outcome)]
    refused = Refused(decision.origin, decision.encoding, decision.request_id, outcome.status, outcome.reason)
    return [refused, DeadLetter(decision.origin, outcome.reason, "model")] if outcome.status == "invalid" else [refused]
