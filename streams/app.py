"""Builds the Faust app from the settings."""

from __future__ import annotations

import asyncio
import threading
import time

import faust
import structlog
from confluent_kafka.admin import AdminClient

from schemas.configured import codec_for
from standfast.core import clients
from standfast.core.home import folder
from standfast.core.services import NAMES, TABLE
from standfast.core.settings import Settings
from streams import restore, unpacking
from streams.agents import Agents
from streams.erasures import Erasures
from streams.feedback.labels import Labels
from streams.feedback.recent import recent_answers
from streams.feedback.shown import Shown
from streams.identities import TopicIds
from streams.keeper import Keeper
from streams.names import names
from streams.oldest_offsets import OldestOffsets
from streams.security import credentials
from streams.traffic import Traffic
from streams.transport import state, transport

_log = structlog.get_logger()


def build(settings: Settings, stop: threading.Event | None = None) -> faust.App:
    """The app, ready to start. Nothing is connected yet; every topic must exist when it starts.

    Args:
        stop: when it is set, reading back the state ends early.

    Raises:
        SettingsError: a Kafka security setting that Faust's client does not support.
    """
    kafka_names = names(settings)
    oldest = OldestOffsets()
    identities = TopicIds(kafka_names)
    keeper = Keeper(oldest, settings.stream.history)
    erasures = Erasures(settings, kafka_names.profiles, keeper.erase, keeper.reached)
    traffic = Traffic(oldest, (kafka_names.interactions, *kafka_names.counted), settings.stream.window_s)
    kept = settings.stream.feedback_s
    with_histories = (spec.name for spec in TABLE.values() if spec.histories)
    shown = Shown(round(kept * 1000), settings.stream.feedback_answers, NAMES, with_histories)
    labels = Labels(oldest, traffic, shown, kafka_names.results, keep=kept > 0)
    stopped = stop or threading.Event()

    async def read_answers_back() -> None:
        labels.restart_from(await asyncio.to_thread(recent_answers, settings, kafka_names, stopped) if kept else ())

    async def restored() -> None:
        started_at = time.monotonic()
        if (profile_file := keeper.pause()) is not None:
            await asyncio.to_thread(profile_file.close)
        restored = await asyncio.to_thread(restore.read, settings, kafka_names, stopped)
        oldest.reset()
        identities.note(restored.ids)
        keeper.restart_from(restored.profile_file, len(restored.ends))
        erasures.restart_from(restored.ends)
        traffic.restart_from(restored.published_until, time.time_ns() // 1_000_000)
        labels.pause()
        app.add_future(read_answers_back())
        _log.info("state read back", records=restored.records, seconds=round(time.monotonic() - started_at, 2))

    app = faust.App(
        kafka_names.group,
        broker=[f"kafka://{server.strip()}" for server in settings.kafka.bootstrap_servers.split(",")],
        broker_credentials=credentials(settings.kafka.client_settings),
        broker_client_id="standfast-stream",
        # Static membership: only one processor runs, and one that restarts is the same member, so it takes over the
        # partitions of the killed one without waiting for its session timeout.
        consumer_group_instance_id=f"{kafka_names.group}-0",
        broker_session_timeout=10.0,
        broker_heartbeat_interval=2.0,
        broker_request_timeout=15.0,
        broker_rebalance_timeout=10.0,
        broker_commit_interval=1.0,
        consumer_auto_offset_reset="earliest",
        consumer_metadata_max_age_ms=5000,  # default 60 s, for which an added partition would not be read
        producer_max_request_size=8 * 1_048_576,
        producer_linger=0.005,
        store="memory://",
        datadir=folder("run", "stream"),
        topic_allow_declare=False,
        topic_disable_leader=True,
        stream_wait_empty=False,
        web_enabled=False,
        TableManager=state(restored),
    )
    unpacking.install()
    app.transport = transport(app, oldest, identities)
    admin = AdminClient(clients.base(settings, "stream-watch"))

    @app.task  # type: ignore[untyped-decorator]
    async def watch() -> None:
        await identities.watch(admin, app.consumer.rejoin)

    app.task(erasures.follow)
    Agents(app, kafka_names, codec_for(settings), oldest, keeper, traffic, labels).attach()
    app.finalize()
    return app
