"""The roles beside the services: which ones there are, when each is started, and what they say of themselves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from standfast.core.processes import role_word
from standfast.core.status import RoleStatus
from standfast.role import Role
from standfast.role_launcher import RoleLauncher

MODULES = {
    "profiles": "consumers.profiles",
    "catalogue": "consumers.catalogue",
    "models": "consumers.versions",
    "stream": "streams",
    "drills": "drills",
    "agent": "drills.agent",
    "console": "console",
}
CONSOLE = "console"
# Not the stream processor's: Faust alone is 40 MB, of which the others would have nothing.
_SHARED = (
    "consumers.profiles.__main__",
    "consumers.catalogue.__main__",
    "consumers.versions.__main__",
    "drills.__main__",
    "drills.agent.__main__",
)
_IMPORTED_S = 10.0  # for the roles' nursery; without it they are started all the same
_STOP_S = 8.0  # from a role's SIGTERM to SIGKILL
_CONSOLE_WAITS_S = 60.0  # for a system that is ready, at most: people want to look at one that is not, too


class Roles:
    """The roles of one supervisor, on its asyncio loop. `changed` is called when one has begun or ended."""

    def __init__(self, names: Sequence[str], changed: Callable[[], None]) -> None:
        self._names = names
        self._changed = changed
        self._launcher = RoleLauncher(_SHARED if names else ())
        self._roles: list[Role] = []
        self._network: Role | None = None
        self._console_started = False
        self._console_by = time.monotonic() + _CONSOLE_WAITS_S

    def start_network(self, environment: dict[str, str]) -> None:
        """Starts the network proxy: before all else, as no client reaches Kafka until it listens."""
        self._network = Role("network", "standfast.proxy", environment, self._changed)
        self._network.start()

    def begin(self) -> None:
        """Has the nursery of roles import what they share, while Kafka and the models are waited for."""
        self._launcher.begin()

    async def start(self, environment: dict[str, str]) -> None:
        """Starts all roles but the console."""
        await self._launcher.ready(_IMPORTED_S)
        for name in self._names:
            if name != CONSOLE:
                self._start(name, environment)

    def start_console(self, environment: dict[str, str], *, all_else_works: bool) -> None:
        """Starts the console once all else works: on two cores its imports would delay the workers."""
        if self._console_started or CONSOLE not in self._names:
            return
        if all_else_works or time.monotonic() > self._console_by:
            self._console_started = True
            self._start(CONSOLE, environment)

    @property
    def console_failing(self) -> str:
        """Why there is no console, though one is wanted; nothing that is served depends on it."""
        return next((row.failing for row in self.rows() if row.id == CONSOLE), "")

    @property
    def console_url(self) -> str:
        """The address of the console; empty while there is none."""
        return role_word.address_of(CONSOLE) if self._console_started else ""

    def rows(self) -> list[RoleStatus]:
        """The status of each role that was started, in that order."""
        return [role.status() for role in (*([self._network] if self._network else []), *self._roles)]

    async def stop(self) -> None:
        """Stops all roles but the network proxy, which the workers' last commits still need."""
        await asyncio.gather(*(role.stop(_STOP_S) for role in self._roles))
        self._launcher.close()

    async def stop_network(self) -> None:
        """Stops the network proxy."""
        if self._network is not None:
            await self._network.stop(_STOP_S)

    def _start(self, name: str, environment: dict[str, str]) -> None:
        role = Role(name, MODULES[name], environment, self._changed, self._launcher.start)
        self._roles.append(role)
        role.start()
