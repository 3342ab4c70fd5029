"""One client's connection through the proxy: its two sockets, the flows between them, and the toxics that apply."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Iterable

import structlog

from standfast.core.network.routes import Route
from standfast.core.network.toxics import Direction, Toxic
from standfast.proxy.flow import Flow
from standfast.proxy.owner import Ports

_CONNECT_S = 10.0
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)  # struct linger: no waiting, so close() sends RST
_log = structlog.get_logger()


class Connection:
    """A connection on a route's front. `there` is called once the client's socket is known, `gone` after its end."""

    def __init__(
        self,
        route: Route,
        number: int,
        there: Callable[[Connection], None],
        gone: Callable[[Connection], None],
    ) -> None:
        self.route = route
        self._there = there
        self.to_server = Flow(f"{route.name}/{number}/to_server", self._end_if_both)
        self.to_client = Flow(f"{route.name}/{number}/to_client", self._end_if_both)
        self._gone = gone
        self._began = asyncio.get_running_loop().time()
        self._client: asyncio.Transport | None = None
        self._server: asyncio.Transport | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._reset_timer: asyncio.TimerHandle | None = None
        self._owners: set[int] = set()  # of the processes that toxics are for, those whose connection this is

    def accepted(self, client: asyncio.Transport) -> None:
        """Connects to the server; until then nothing is read from the client."""
        self._client = client
        client.pause_reading()
        self._there(self)
        self._connecting = asyncio.create_task(self._connect(client))

    def is_reached(self, toxic: Toxic, direction: Direction | None = None) -> bool:
        """Whether the toxic applies to this connection, in this direction if one is given."""
        return any(
            reach.route == self.route.name
            and (direction is None or reach.direction in {"both", direction})
            and (not reach.clients or not self._owners.isdisjoint(reach.clients))
            for reach in toxic.reaches
        )

    @property
    def ports(self) -> Ports:
        """The client's own port, and the one that it has connected to."""
        return (self._client.get_extra_info("peername")[1] if self._client else 0, self.route.front)

    def is_of(self, pids: Iterable[int]) -> None:
        """Notes that these processes have the client's socket."""
        self._owners.update(pids)

    def shape(self, toxics: Iterable[Toxic], on_reset: Callable[[Toxic], None]) -> None:
        """From now on those of these toxics apply that reach it; `on_reset` is told when one resets it."""
        mine = [toxic for toxic in toxics if self.is_reached(toxic)]
        self.to_server.shape(tuple(toxic for toxic in mine if self.is_reached(toxic, "to_server")))
        self.to_client.shape(tuple(toxic for toxic in mine if self.is_reached(toxic, "to_client")))
        if self._reset_timer is not None:
            self._reset_timer.cancel()
        loop = asyncio.get_running_loop()
        for toxic in mine:
            if toxic.sort in {"reset", "refuse"}:
                at = max(loop.time(), self._began + toxic.live_ms / 1000)
                self._reset_timer = loop.call_at(at, self._reset_by, toxic, on_reset)

    def reset(self) -> None:
        """Resets both ends, without what still waits."""
        for transport in (self._client, self._server):
            if transport is not None and not transport.is_closing():
                opened: socket.socket = transport.get_extra_info("socket")
                with contextlib.suppress(OSError):  # the other end has gone already
                    opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
                transport.abort()

    def lost(self) -> None:
        """One of the two sockets is closed: after a reset the other one is reset too."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._reset_timer is not None:
            self._reset_timer.cancel()
        if not (self.to_server.ended and self.to_client.ended):
            self.reset()
        self.to_server.close()
        self.to_client.close()
        self._gone(self)

    async def _connect(self, client: asyncio.Transport) -> None:
        loop, route = asyncio.get_running_loop(), self.route
        try:
            async with asyncio.timeout(_CONNECT_S):
                server, _ = await loop.create_connection(
                    lambda: End(self, self.to_client, self.to_server), route.host, route.port
                )
        except OSError as error:  # a time-out is one too
            _log.debug("the other side of a route is not there", route=route.name, error=str(error))
            self.reset()
            return
        self._server = server
        self.to_server.connect(client, server)
        self.to_client.connect(server, client)

    def _end_if_both(self) -> None:
        """Closes both sockets once both sides have said that they send no more."""
        if self.to_server.ended and self.to_client.ended:
            for transport in (self._client, self._server):
                if transport is not None:
                    transport.close()

    def _reset_by(self, toxic: Toxic, on_reset: Callable[[Toxic], None]) -> None:
        on_reset(toxic)
        self.reset()


class End(asyncio.Protocol):
    """One of a connection's two sockets: `out` takes what arrives on it, `into` writes to it."""

    def __init__(self, connection: Connection, out: Flow, into: Flow) -> None:
        self._connection = connection
        self._into = into
        self._out = out

    def data_received(self, data: bytes) -> None:
        """Bytes have arrived."""
        self._out.fed(data)

    def eof_received(self) -> bool:
        """The other side sends no more; the socket stays open, to write to."""
        self._out.fed(b"")
        return True

    def pause_writing(self) -> None:
        """The socket takes no more for now."""
        self._into.sink_is(full=True)

    def resume_writing(self) -> None:
        """The socket takes more again."""
        self._into.sink_is(full=False)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002
        """The socket is closed, or was reset by its other side."""
        self._connection.lost()


class ClientEnd(End):
    """The client's socket."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, connection.to_server, connection.to_client)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker: it is a TCP server's
        self._connection.accepted(transport)
