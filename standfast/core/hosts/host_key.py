"""The key of this host's record on the topic `status`: the same after a restart, another for every other system."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from pathlib import Path

import structlog

from standfast.core.home import folder
from standfast.core.keeping import write_whole
from standfast.core.settings import Settings

_log = structlog.get_logger()
_DRAWN = re.compile(r"[0-9a-f]{32}")
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._-]+")


def host_key(settings: Settings) -> str:
    """`b-1f0c9a2e`: the host's name (`workers.host`, else the machine's), and which system there.

    A name alone is not enough: two systems may run on one machine, and containers that share its network its name too.
    The number is made of one that is drawn once and kept in the state folder, and of where that folder is: copied to
    another place, it is another system's.
    """
    name = settings.workers.host or _NOT_IN_A_NAME.sub("_", os.uname().nodename) or "host"
    where = folder("run")
    number = hashlib.blake2b(f"{_drawn(where / 'host-id')} {where}".encode(errors="surrogateescape"), digest_size=4)
    return f"{name}-{number.hexdigest()}"


def _drawn(path: Path) -> str:
    try:
        kept = path.read_text("ascii", "replace").strip()
    except FileNotFoundError:
        kept = ""
    except OSError as error:
        _log.warning("this host's id cannot be read; it has another one for now", path=str(path), error=str(error))
        return secrets.token_hex(16)
    if _DRAWN.fullmatch(kept):
        return kept
    drawn = secrets.token_hex(16)
    try:
        write_whole(path, drawn.encode())
    except OSError as error:
        _log.warning("this host's id cannot be kept; the next start has another", path=str(path), error=str(error))
    return drawn
