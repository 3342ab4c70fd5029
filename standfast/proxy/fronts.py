"""All routes of the proxy: it listens on their fronts, and applies toxics to the connections there."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from standfast.core.errors import ClusterError
from standfast.core.network.routes import Route
from standfast.core.network.toxics import Answer, Question, Toxic, ToxicSeen
from standfast.proxy.connection import ClientEnd, Connection
from standfast.proxy.owner import owners

_log = structlog.get_logger()


@dataclass(slots=True)
class Applied:
    """A toxic that is applied now. `until` is the loop's time; it ends then unless its lease is renewed."""

    toxic: Toxic
    until: float
    resets: int = 0


class Fronts:
    """Listens on every route after `open`. `process` is the pid that answers name."""

    def __init__(self, routes: list[Route], process: int) -> None:
        self._routes = {route.name: route for route in routes}
        self._process = process
        self._applied: dict[str, Applied] = {}
        self._connections: set[Connection] = set()
        self._listening: dict[str, asyncio.Server] = {}
        self._numbers = itertools.count()

    @property
    def is_clean(self) -> bool:
        """Whether no toxic is applied."""
        return not self._applied

    async def open(self) -> None:
        """Listens where no toxic refuses connections; raises ClusterError for a port that another process has."""
        for route in self._routes.values():
            refusing = self._refusing(route)
            if refusing is None and route.name not in self._listening:
                self._listening[route.name] = await self._listen(route)
            elif refusing is not None and route.name in self._listening:
                self._listening.pop(route.name).close()

    def close(self) -> None:
        """Listens no more and ends every connection."""
        for server in self._listening.values():
            server.close()
        for connection in tuple(self._connections):
            connection.reset()

    async def asked(self, question: Question) -> Answer:
        """Does what is asked, and tells which toxics are applied after that."""
        self._expire()
        now = asyncio.get_running_loop().time()
        for gone in question.remove:
            self._applied.pop(gone, None)
        for applied in map(self._applied.get, question.renew):
            if applied is not None:
                applied.until = now + applied.toxic.lease_s
        error = self._add(question.add, now) if question.add is not None else ""
        if question.remove or question.add is not None:
            await self._changed()
        return Answer(pid=self._process, toxics=tuple(map(self._seen, self._applied.values())), error=error)

    async def tend(self) -> None:
        """Ends what is over and listens where that is allowed again; call it a few times a second."""
        if self._expire():
            await self._changed()

    def _expire(self) -> bool:
        """Ends toxics whose lease is over; returns whether there were some."""
        now = asyncio.get_running_loop().time()
        over = [name for name, applied in self._applied.items() if applied.until < now]
        for name in over:
            _log.warning("nobody renews a toxic; it ends", id=name)
            del self._applied[name]
        return bool(over)

    def _add(self, toxic: Toxic, now: float) -> str:
        unknown = sorted({reach.route for reach in toxic.reaches} - self._routes.keys())
        if unknown:
            return f"there is no route {', '.join(unknown)}; there are: {', '.join(self._routes)}"
        self._applied[toxic.id] = Applied(toxic, now + toxic.lease_s)
        _log.info("a toxic is applied", id=toxic.id, sort=toxic.sort, routes=[r.route for r in toxic.reaches])
        return ""

    async def _changed(self) -> None:
        self._shape(tuple(self._connections))
        await self.open()

    def _shape(self, connections: Sequence[Connection]) -> None:
        toxics = [applied.toxic for applied in self._applied.values()]
        pids = {pid for toxic in toxics for reach in toxic.reaches for pid in reach.clients}
        owned = owners(pids, [connection.ports for connection in connections])
        for connection in connections:
            connection.is_of(owned.get(connection.ports, ()))
            connection.shape(toxics, self._count_reset)

    def _count_reset(self, toxic: Toxic) -> None:
        if toxic.id in self._applied:
            self._applied[toxic.id].resets += 1

    def _refusing(self, route: Route) -> Toxic | None:
        toxics = (applied.toxic for applied in self._applied.values() if applied.toxic.sort == "refuse")
        return next((toxic for toxic in toxics if route.name in {reach.route for reach in toxic.reaches}), None)

    async def _listen(self, route: Route) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        try:
            return await loop.create_server(lambda: self._accepted(route), "127.0.0.1", route.front, backlog=512)
        except OSError as error:
            raise ClusterError(
                f"the network proxy cannot listen on port {route.front} for {route.name}: {error.strerror}; restart "
                "the system, which then takes another port"
            ) from None

    def _accepted(self, route: Route) -> ClientEnd:
        return ClientEnd(Connection(route, next(self._numbers), self._there, self._connections.discard))

    def _there(self, connection: Connection) -> None:
        self._connections.add(connection)
        if self._applied:
            self._shape((connection,))

    def _seen(self, applied: Applied) -> ToxicSeen:
        reached = [connection for connection in self._connections if connection.is_reached(applied.toxic)]
        return ToxicSeen(
            id=applied.toxic.id,
            left_s=round(applied.until - asyncio.get_running_loop().time(), 2),
            connections=len(reached),
            waiting=sum(connection.to_server.waiting + connection.to_client.waiting for connection in reached),
            resets=applied.resets,
        )
