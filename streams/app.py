"""The Faust app, built from the settings."""

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
from standfast.core.settings import Settings
from streams import restore, unpacking
from streams.agents import Agents
from streams.erasures import Erasures
from streams.identities import TopicIds
from streams.keeper import Keeper
from streams.names import names
from streams.oldest_offsets import OldestOffsets
from streams.security import credentials
from streams.traffic import Traffic
from streams.transport import state, transport

_log = structlog.get_logger()


def build(settings: Settings, stop: threading.Event | None = None) -> faust.App:
    """The app, ready to be started; nothing is connected yet, and every topic must exist when it is.

    Args:
        stop: set, it ends the reading back of state early.

    Raises:
        SettingsError: a Kafka security setting that Faust's client cannot follow.
    """
    named = names(settings)
    oldest = OldestOffsets()
    identities = TopicIds(named)
    keeper = Keeper(oldest, settings.stream.history)
    erasures = Erasures(settings, named.profiles, keeper.erase, keeper.reached)
    traffic = Traffic(oldest, (named.interactions, *named.counted), settings.stream.window_s)

    async def restored() -> None:
        began = time.monotonic()
        if (kept := keeper.pause()) is not None:
            await asyncio.to_thread(kept.close)
        restored = await asyncio.to_thread(restore.read, settings, named, stop or threading.Event())
        oldest.reset()
        identities.note(restored.ids)
        keeper.restart_from(restored.kept, len(restored.ends))
        erasures.restart_from(restored.ends)
        traffic.restart_from(restored.published_until, time.time_ns() // 1_000_000)
        _log.info("state read back", records=restored.records, seconds=round(time.monotonic() - began, 2))

    app = faust.App(
        named.group,
        broker=[f"kafka://{server.strip()}" for server in settings.kafka.bootstrap_servers.split(",")],
        broker_credentials=credentials(settings.kafka.client_settings),
        broker_client_id="standfast-stream",
        # One processor at a time, and always the same member: a restarted one takes over where the killed one stood,
        # without waiting for its session to end.
        consumer_group_instance_id=f"{named.group}-0",
        broker_session_timeout=10.0,
        broker_heartbeat_interval=2.0,
        broker_request_timeout=15.0,
        broker_rebalance_timeout=10.0,
        broker_commit_interval=1.0,
        consumer_auto_offset_reset="earliest",
        consumer_metadata_max_age_ms=5000,  # by default 60 s, for which an added partition is not read
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
    Agents(app, named, codec_for(settings), oldest, keeper, traffic).attach()
    app.finalize()
    return app
