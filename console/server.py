"""The console's process: a thread that reads, a loop with the pages, an address that is this machine's own."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from console.guard import Guard
from console.hub import Hub
from console.keys import Sessions
from console.pages import Pages
from console.topic_follower import TopicFollower
from console.topic_rows import Topics
from standfast.core.errors import SettingsError, SetupError
from standfast.core.processes import role_word
from standfast.core.processes.lifeline import stop_event
from standfast.core.settings import ConsoleSettings, Settings

_BEAT_S = 1.0
_STOP_S = 1  # for answers under way; streams end at once
_log = structlog.get_logger()


def run(settings: Settings, tell: Callable[[str], None] = lambda _url: None) -> None:
    """Serves the console until SIGTERM or SIGINT; call from the main thread. `tell` is called with its address.

    Raises:
        SettingsError: an address that is not this machine's own, without TLS, or without names.
        SetupError: the address or the certificate cannot be used.
    """
    check(settings.console)
    with _listening(settings.console) as listening:
        stop_event()  # uvicorn raises the signal that stopped it once more, which must not kill this process then
        _run(settings, listening, tell)


def _run(settings: Settings, listening: socket.socket, tell: Callable[[str], None]) -> None:
    try:
        asyncio.run(_serve(settings, listening, tell))
    except OSError as error:  # ssl.SSLError is one
        raise SetupError(f"console.certificate and console.key cannot be used: {error}; give PEM files") from None


def check(console: ConsoleSettings) -> None:
    """Raises SettingsError for settings with which pages or keys would cross a network unprotected."""
    if bool(console.certificate) != bool(console.key):
        raise SettingsError("console.certificate and console.key belong together; give both files, or neither")
    if _is_loopback(console.host):
        return
    if not console.certificate:
        raise SettingsError(
            f"console.host = {console.host!r} is not this machine's own loopback: give console.certificate and "
            "console.key, or use 127.0.0.1 and a tunnel (ssh -L)"
        )
    if not console.names:
        raise SettingsError(
            f"console.host = {console.host!r}: give console.names too, the names with the port by which browsers call "
            'it, such as ["console.example.org:9466"]; others are not answered'
        )


def hosts_of(console: ConsoleSettings, port: int) -> frozenset[str]:
    """The exact values of the header Host that are answered."""
    own = {"127.0.0.1", "localhost"} if _is_loopback(console.host) else set()
    named = f"[{console.host}]" if ":" in console.host else console.host
    return frozenset({*(f"{name}:{port}" for name in {*own, named}), *console.names})


def url_of(console: ConsoleSettings, port: int) -> str:
    """The address to open in a browser."""
    scheme = "https" if console.certificate else "http"
    if console.names:
        return f"{scheme}://{console.names[0]}"
    return f"{scheme}://[{console.host}]:{port}" if ":" in console.host else f"{scheme}://{console.host}:{port}"


def app(settings: Settings, hub: Hub, hosts: frozenset[str], port: int, sessions: Sessions) -> ASGIApp:
    """The application around a hub that somebody else feeds."""
    secure = bool(settings.console.certificate)
    cookie = f"standfast-console-{port}"  # browsers send a cookie to every port of a host
    pages = Pages(settings, hub, Topics(settings), sessions, url_of(settings.console, port), cookie, secure)
    inner = Starlette(routes=pages.routes(), exception_handlers={HTTPException: pages.error, 500: pages.error})
    scheme = "https" if secure else "http"
    return Guard(inner, hosts, scheme, cookie, sessions.is_good, settings.console.view_only)


async def _serve(settings: Settings, listening: socket.socket, tell: Callable[[str], None]) -> None:
    """Reads, measures and answers until a signal."""
    port = listening.getsockname()[1]
    hub = Hub()
    url = url_of(settings.console, port)
    served = app(settings, hub, hosts_of(settings.console, port), port, Sessions.kept(url))
    server = uvicorn.Server(_config(served, settings.console))
    reading = TopicFollower(settings, hub.publish)
    reading.start()
    besides = [
        asyncio.create_task(hub.measure()),
        asyncio.create_task(_beat(server, reading, url, tell)),
    ]
    try:
        await server.serve(sockets=[listening])
    finally:
        for task in besides:
            task.cancel()
        await asyncio.gather(*besides, return_exceptions=True)
        await asyncio.to_thread(reading.close)


async def _beat(server: uvicorn.Server, reading: TopicFollower, url: str, tell: Callable[[str], None]) -> None:
    """Tells the supervisor where the pages are, and from then on that they are answered and that Kafka is read."""
    while not server.started:
        await asyncio.sleep(0.02)
    role_word.begun(url)
    _log.info("the console answers", url=url)
    tell(url)
    while True:
        if reading.is_alive():
            role_word.beat()
        await asyncio.sleep(_BEAT_S)


def _config(served: ASGIApp, console: ConsoleSettings) -> uvicorn.Config:
    return uvicorn.Config(
        served,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        http="h11",
        loop="asyncio",
        lifespan="off",
        timeout_graceful_shutdown=_STOP_S,
        ssl_certfile=console.certificate or None,
        ssl_keyfile=console.key or None,
    )


def _listening(console: ConsoleSettings) -> socket.socket:
    """The socket; raises SetupError naming the wrong setting."""
    try:
        family = socket.AF_INET6 if ":" in console.host else socket.AF_INET
        return socket.create_server((console.host, console.port), family=family)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SetupError(
            f"the console cannot listen on {console.host}:{console.port}: {reason}; set another console.port, 0 for "
            "any free one, or console.enabled = false"
        ) from None


def _is_loopback(host: str) -> bool:
    """Whether it is an address of the loopback interface, or its usual name."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
