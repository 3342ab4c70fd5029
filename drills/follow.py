"""Starting a drill from outside, as any program may: a command on the control topic, then its events until the last."""

from __future__ import annotations

import time
from collections.abc import Callable

from confluent_kafka import KafkaError, Producer

from drills.control import TOPIC
from drills.events import FINAL
from drills.outcomes import Outcomes
from schemas.codec import Codec, Encoding
from schemas.records import DrillCommand, DrillEvent
from standfast import clients
from standfast.errors import ClusterError, NoAnswer
from standfast.settings import Settings

_REACH_S = 10.0
_SILENCE_S = 10.0


def follow(
    command: DrillCommand, settings: Settings, within_s: float, show: Callable[[DrillEvent], None]
) -> DrillEvent:
    """Sends the command, shows every event as it comes, and returns the last one.

    Raises:
        ClusterError: Kafka does not answer.
        NoAnswer: no runner took the command within 10 s, or the drill had no end within `within_s`.
    """
    drill_id = command.drill_id or ""
    outcomes = Outcomes(settings, Codec(), "standfast-drill-run")
    try:
        outcomes.go_to_end()
        _send(command, settings)
        return _last(outcomes, drill_id, within_s, show)
    finally:
        outcomes.close()


def _last(outcomes: Outcomes, drill_id: str, within_s: float, show: Callable[[DrillEvent], None]) -> DrillEvent:
    until = time.monotonic() + within_s
    heard = False
    while (left := until - time.monotonic()) > 0:
        patience = left if heard else min(_SILENCE_S, left)
        event = next(outcomes.following(drill_id, patience), None)
        if event is None and not heard:
            raise NoAnswer(
                f"no drill runner took {drill_id} within {patience:.3g} s; is a system running? see "
                "`standfast status`, or start one with `standfast up --detach`"
            )
        if event is None:
            break
        heard = True
        show(event)
        if event.phase in FINAL:
            return event
    raise NoAnswer(
        f"{drill_id} had not ended after {within_s:g} s; it goes on: see `standfast drill report {drill_id}`"
    )


def _send(command: DrillCommand, settings: Settings) -> None:
    failed: list[KafkaError | None] = []
    producer = Producer(clients.producer(settings, "standfast-drill-run"))
    producer.produce(
        settings.kafka.topic_prefix + TOPIC,
        Codec().encode(command, Encoding.JSON),
        command.drill_id,
        on_delivery=lambda error, _message: failed.append(error),
    )
    producer.flush(_REACH_S)
    if not failed or failed[0] is not None:
        why = failed[0].str() if failed and failed[0] is not None else f"no answer within {_REACH_S:g} s"
        raise ClusterError(f"Kafka at {settings.kafka.bootstrap_servers} did not take the command: {why}")
