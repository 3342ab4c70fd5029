"""The drill runner's process: it runs until SIGTERM."""

from __future__ import annotations

from drills.control.outcomes import TOPIC
from drills.running.runner import Runner
from schemas.configured import codec_for
from schemas.records import DrillEvent
from standfast.core.errors import SettingsError
from standfast.core.processes.lifeline import stop_event
from standfast.core.settings import Settings


def run(settings: Settings) -> None:
    """Runs drills until SIGTERM or SIGINT; call from the main thread.

    Raises:
        SettingsError: `kafka.bootstrap_servers` is not set.
        SchemaError: the schema registry's URL is invalid.
        Fenced: another runner has taken over.
    """
    if not settings.kafka.bootstrap_servers:
        raise SettingsError("KAFKA_BOOTSTRAP_SERVERS is not set; name the Kafka, or start it all: standfast up")
    stopping = stop_event()
    codec = codec_for(settings, answers={DrillEvent: settings.kafka.topic_prefix + TOPIC})
    Runner(settings, codec, stopping).run()
