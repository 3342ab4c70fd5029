"""One batch: decide on every record, compute what was admitted, encode all answers in the order of the requests."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import structlog
from confluent_kafka import Message

from consumers.admission import Admission, Admitted, DeadLetter, Decision, Refused, origin_of
from consumers.answers import Answers, Outgoing
from consumers.ledger import Ledger
from consumers.suspects import DEATHS_ALLOWED
from consumers.transactions import Work
from models.base import Model, Scored
from standfast import telemetry

_log = structlog.get_logger()


class Batches:
    """Turns raw messages into the work they owe to Kafka.

    A record that was being computed when its worker died is computed alone, with the ledger naming only it, so that a
    second death convicts it and not its neighbours; after that it is dead-lettered.
    """

    def __init__(self, admission: Admission, model: Model[Any], answers: Answers, ledger: Ledger, topic: str) -> None:
        self._admission = admission
        self._model = model
        self._answers = answers
        self._ledger = ledger
        self._topic = topic
        self.instead = answers.instead
        self.labels = (topic, *model.label.partition("@")[::2])
        self.suspects: dict[tuple[int, int], int] = {}

    def work(self, messages: Sequence[Message]) -> Work:
        """Computes the batch and returns its answers, dead letters and offsets."""
        began = time.perf_counter()
        decisions = [self._decide(message) for message in messages]
        decoded = time.perf_counter()
        found = self._computed([one for one in decisions if isinstance(one, Admitted)])
        computed = time.perf_counter()
        outgoing = [record for one in decisions for record in self._written(one, found)]
        self._observe(decisions, began, decoded, computed)
        offsets: dict[tuple[str, int], int] = {}
        for one in decisions:
            offsets[one.origin.topic, one.origin.partition] = one.origin.offset + 1
        return Work(outgoing, offsets, [one.origin.timestamp_ms for one in decisions])

    def _decide(self, message: Message) -> Decision:
        origin = origin_of(message)
        deaths = self.suspects.get((origin.partition, origin.offset), 0) if self.suspects else 0
        if deaths >= DEATHS_ALLOWED:
            reason = f"{deaths} workers died while computing it; fix the record or the model, then send it again"
            return DeadLetter(origin, reason, "poison")
        try:
            return self._admission.decide(origin)
        except Exception as error:  # noqa: BLE001 - it would end one worker after the other, and no one's turn would come
            _log.exception("a record could not be decided on", partition=origin.partition, offset=origin.offset)
            return DeadLetter(origin, f"{type(error).__name__}: {error}", "failed")

    def _computed(self, admitted: list[Admitted]) -> dict[int, list[Scored] | str]:
        """Scores, or why there are none, by the identity of the request."""
        found: dict[int, list[Scored] | str] = {}
        alone = [one for one in admitted if _record(one) in self.suspects] if self.suspects else []
        together = [one for one in admitted if one not in alone] if alone else admitted
        for group in ([together] if together else []) + [[one] for one in alone]:
            self._ledger.begin([_record(one) for one in group])
            found.update(self._predicted(group))
            self._ledger.end()
        return found

    def _predicted(self, group: list[Admitted]) -> dict[int, list[Scored] | str]:
        """A model that fails on a group is asked again one by one: one bad request fails alone."""
        try:
            scored = self._model.predict([one.query for one in group])
        except Exception as error:  # noqa: BLE001 - whatever a model raises must not lose its neighbours' answers
            if len(group) > 1:
                return {key: value for one in group for key, value in self._predicted([one]).items()}
            _log.warning("the model failed on a request", error=f"{type(error).__name__}: {error}"[:300])
            return {id(group[0]): f"the model failed on it: {type(error).__name__}: {error}"}
        return {id(one): items for one, items in zip(group, scored, strict=True)}

    def _written(self, decision: Decision, found: dict[int, list[Scored] | str]) -> list[Outgoing]:
        if isinstance(decision, Refused):
            return [self._answers.refused(decision)]
        if isinstance(decision, DeadLetter):
            return [self._answers.dead(decision)]
        items = found[id(decision)]
        if not isinstance(items, str):
            return [self._answers.served(decision, items)]
        refused = Refused(decision.origin, decision.encoding, decision.request_id, "invalid", items)
        return [self._answers.refused(refused), self._answers.dead(DeadLetter(decision.origin, items, "model"))]

    def _observe(self, decisions: Sequence[Decision], began: float, decoded: float, computed: float) -> None:
        ended = time.perf_counter()
        began_ms = (time.time() - (ended - began)) * 1000
        queue = telemetry.QUEUE.labels(*self.labels)
        for one in decisions:
            queue.observe(max(0.0, began_ms - one.origin.timestamp_ms) / 1000)
            if isinstance(one, DeadLetter):
                telemetry.FAILURES.labels(self._topic, one.kind).inc()
            else:
                status = one.status if isinstance(one, Refused) else "ok"
                telemetry.REQUESTS.labels(*self.labels, status).inc()
        telemetry.BATCH_SIZE.labels(*self.labels).observe(len(decisions))
        telemetry.COMPUTE_INPUT.labels(*self.labels).observe(decoded - began)
        telemetry.COMPUTE_INFER.labels(*self.labels).observe(computed - decoded)
        telemetry.COMPUTE_OUTPUT.labels(*self.labels).observe(ended - computed)


def _record(admitted: Admitted) -> tuple[int, int]:
    return admitted.origin.partition, admitted.origin.offset
