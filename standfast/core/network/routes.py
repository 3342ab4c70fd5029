"""The routes of the network proxy: on which port it listens, and to whom it passes on what arrives there.

The supervisor writes them before it starts the proxy; the drills read them, to know what can be struck.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from standfast.core.errors import ClusterError
from standfast.core.home import folder
from standfast.core.keeping import write_whole

REGISTRY = "registry"


class Route(msgspec.Struct, frozen=True):
    """Whoever connects to `front` on 127.0.0.1 speaks with `port` of `host`.

    Args:
        name: `kafka-1` for the clients of that broker, `kafka-1-peers` for the other brokers, `kafka-1-controller` for
            the controllers' quorum, `registry` for the schema registry.
    """

    name: str
    front: int
    host: str
    port: int


def keep(routes: list[Route]) -> None:
    """Writes the routes for the proxy and the drills."""
    write_whole(_file(), msgspec.json.format(msgspec.json.encode(routes)))


def kept() -> list[Route]:
    """The routes; none if the system runs without the proxy. Raises ClusterError for a file that cannot be read."""
    try:
        return msgspec.json.decode(_file().read_bytes(), type=list[Route])
    except FileNotFoundError:
        return []
    except (OSError, msgspec.MsgspecError) as error:
        raise ClusterError(f"{_file()} cannot be read ({error}); restart the system, which writes it anew") from None


def forget() -> None:
    """Deletes the routes of a former start: this system runs without the proxy."""
    _file().unlink(missing_ok=True)


def _file() -> Path:
    return folder("network") / "routes.json"
