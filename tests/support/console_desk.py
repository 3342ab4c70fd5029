"""A console without Kafka: its application around a hub that a test feeds, and a browser that is signed in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import httpx
from starlette.types import ASGIApp

from console.hub import Hub
from console.keys import Sessions
from console.server import app, hosts_of
from console.snapshot import Snapshot
from console.topic_fold import TopicFold
from schemas.codec import Codec, Encoding
from schemas.records import DrillEvent
from standfast.core.settings import ConsoleSettings, KafkaSettings, Settings
from standfast.core.status import RoleStatus, ServiceStatus, SystemStatus, TakeoverStatus, WorkerStatus

PORT = 9466
ORIGIN = f"http://127.0.0.1:{PORT}"
COOKIE = f"standfast-console-{PORT}"
OURS = {"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"}
SESSIONS = Sessions(b"k" * 32, ORIGIN)


def console_app(snapshot: Snapshot | None = None, **console: object) -> tuple[ASGIApp, Hub]:
    """The application and its hub; call it inside a running loop."""
    section = ConsoleSettings(port=PORT, **console)  # type: ignore[arg-type]
    settings = Settings(kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1"), console=section)
    hub = Hub()
    if snapshot is not None:
        hub._set(snapshot, hub.view.measures)
    return app(settings, hub, hosts_of(section, PORT), PORT, SESSIONS), hub


def answer(
    method: str,
    path: str,
    *,
    headers: Mapping[str, str] | None = None,
    form: Mapping[str, str] | None = None,
    snapshot: Snapshot | None = None,
    cookie: str | None = None,
    **console: object,
) -> httpx.Response:
    """What the console answers to one request; signed in unless `cookie` says otherwise."""

    async def asked() -> httpx.Response:
        served, _ = console_app(snapshot, **console)
        session = SESSIONS.cookie() if cookie is None else cookie
        transport = httpx.ASGITransport(app=served)
        async with httpx.AsyncClient(transport=transport, base_url=ORIGIN, cookies={COOKIE: session}) as browser:
            with_token = {"form_token": SESSIONS.form_token(session), **form} if form is not None else None
            return await browser.request(method, path, headers=headers, data=with_token)

    return asyncio.run(asked())


class Record:
    """A record as a consumer returns it."""

    def __init__(self, topic: str, value: bytes | None, offset: int = 0, key: bytes = b"", partition: int = 0) -> None:
        self._said = (topic, value, offset, key, partition)
        self.written = time.time_ns() // 1_000_000

    def topic(self) -> str:
        return self._said[0]

    def value(self) -> bytes | None:
        return self._said[1]

    def offset(self) -> int:
        return self._said[2]

    def key(self) -> bytes:
        return self._said[3]

    def partition(self) -> int:
        return self._said[4]

    def timestamp(self) -> tuple[int, int]:
        return (1, self.written)

    def headers(self) -> list[tuple[str, bytes | None]]:
        return []

    def __len__(self) -> int:
        return len(self._said[1] or b"")


def status(host: str = "here-1", at: int = 1_700_000_000_000, **more: object) -> SystemStatus:
    """A host with two workers of `search` and a standby."""
    fields: dict[str, object] = {
        "state": "ready",
        "at": at,
        "supervisor_pid": 1,
        "bootstrap_servers": "127.0.0.1:9092",
        "metrics_url": "",
        "host": host,
        "workers": [worker("search-0", 11, [0, 2]), worker("search-1", 12, [1]), worker("search-s2", 13, [])],
        "roles": [RoleStatus(id="drills", pid=20, state="running")],
        "services": [
            ServiceStatus(name="search", workers=2, serving=2, settled=True, auto=False, fewest=1, most=3, partitions=3)
        ],
        **more,
    }
    return SystemStatus(**fields)  # type: ignore[arg-type]


def worker(name: str, pid: int, owned: list[int]) -> WorkerStatus:
    """A row of the status; one without partitions is a standby."""
    return WorkerStatus(
        id=name,
        pid=pid,
        service="search",
        group="standfast-search",
        role="active" if owned else "standby",
        state="serving" if owned else "ready",
        model="search@3",
        partitions={"search.requests": owned} if owned else {},
    )


def takeover(at: int, **more: object) -> TakeoverStatus:
    """search-s2 took over from search-0 after 66 ms."""
    fields: dict[str, object] = {
        "at": at, "service": "search", "worker": "search-0", "standby": "search-s2", "pid": 13, "after_ms": 66.4,
        "partitions": {"search.requests": [0, 2]}, **more,
    }  # fmt: skip
    return TakeoverStatus(**fields)  # type: ignore[arg-type]


def event(phase: str, drill_id: str = "d1", **more: object) -> DrillEvent:
    """An event of a drill."""
    return DrillEvent(drill_id=drill_id, drill="worker-kill", phase=phase, at=1_700_000_000_000, **more)  # type: ignore[arg-type]


def known(*told: SystemStatus | DrillEvent, prefix: str = "") -> TopicFold:
    """What a console knows after these records."""
    import msgspec

    known = TopicFold(prefix)
    codec = Codec()
    for offset, one in enumerate(told):
        if isinstance(one, SystemStatus):
            record = Record(f"{prefix}status", msgspec.json.encode(one), offset, one.host.encode())
        else:
            record = Record(f"{prefix}drills.results", codec.encode(one, Encoding.JSON), offset)
        known.take(record)  # type: ignore[arg-type]
    return known


def snapshot(*told: SystemStatus | DrillEvent, problem: str = "") -> Snapshot:
    """The snapshot after these records."""
    return known(*told).snapshot(problem)
