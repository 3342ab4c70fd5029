"""The key of this host's record on the topic `status`: stable across restarts, unique per system."""

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
_RANDOM_ID = re.compile(r"[0-9a-f]{32}")
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._-]+")


def host_key(settings: Settings) -> str:
    """The host's name (`workers.host`, else the machine's) and a number for the system on it, as in `b-1f0c9a2e`.

    The name alone is not unique: two systems may run on one machine, and containers with the host's network share its
    name. The number is a hash of a random id, drawn once and kept in the state folder, and of that folder's path: a
    copy of the folder elsewhere is another system.

    """
    name = settings.workers.host or _NOT_IN_A_NAME.sub("_", os.uname().nodename) or "host"
    run = folder("run")
    number = hashlib.blake2b(f"{_random_id(run / 'host-id')} {run}".encode(errors="surrogateescape"), digest_size=4)
    return f"{name}-{number.hexdigest()}"


def _random_id(path: Path) -> str:
    """The id kept in the file; drawn and written if there is none."""
    is_new = False
    try:
        kept = path.read_text("ascii", "replace").strip()
    except FileNotFoundError:
        kept, is_new = "", True
    except OSError as error:
        _log.warning("this host's id cannot be read; it has another one for now", path=str(path), error=str(error))
        return secrets.token_hex(16)
    if _RANDOM_ID.fullmatch(kept):
        return kept
    return _drawn(path, is_new)


def _drawn(path: Path, is_new: bool) -> str:
    """A new id, kept in the file; of two processes that draw one at the same moment, both return the first one's."""
    drawn = secrets.token_hex(16)
    whole = path.with_name(f"{path.name}.{drawn}.new")
    try:
        if not is_new:
            write_whole(path, drawn.encode())
            return drawn
        write_whole(whole, drawn.encode())
        try:
            path.hardlink_to(whole)  # fails if the file is there; a copy would be seen before it is whole
        except FileExistsError:
            drawn = path.read_text("ascii", "replace").strip()
        finally:
            whole.unlink()
    except OSError as error:
        _log.warning("this host's id cannot be kept; the next start has another", path=str(path), error=str(error))
    return drawn
