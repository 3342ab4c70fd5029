"""A registry's schemas and ids, cached on disk: an id names the same schema for ever.

Each is a file of its own, written under another name and renamed, so that all processes of a host may read and write
at the same time. A torn file counts as missing, and the registry is asked again.
"""

from __future__ import annotations

import json
import shutil
from hashlib import sha256
from pathlib import Path

import structlog

from standfast.core.keeping import write_whole

_log = structlog.get_logger()


class KnownSchemas:
    """The cache of one registry, in a folder that may hold those of several. Disk errors are logged, not raised."""

    def __init__(self, folder: Path, registry: str) -> None:
        self._folder = folder / sha256(registry.encode()).hexdigest()[:16]

    def schema(self, schema_id: int) -> str | None:
        """The text of the schema with this id, if it is known."""
        text = self._read(f"{schema_id}.json").get("schema")
        return text if isinstance(text, str) else None

    def keep_schema(self, schema_id: int, text: str) -> None:
        """Writes the schema of an id."""
        self._write(f"{schema_id}.json", {"schema": text})

    def id_of(self, subject: str, text: str) -> int | None:
        """The id under which exactly this schema is registered for a subject, if it is known."""
        known = self._read(_file_of(subject))
        number = known.get("id") if known.get("schema") == text else None
        return number if isinstance(number, int) else None

    def keep_id(self, subject: str, text: str, schema_id: int) -> None:
        """Writes the id of a subject's schema."""
        self._write(_file_of(subject), {"schema": text, "id": schema_id})

    def forget(self) -> None:
        """Deletes everything, for when another registry answers at this URL."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _read(self, name: str) -> dict[str, object]:
        try:
            fields = json.loads((self._folder / name).read_bytes())
        except (OSError, ValueError):
            return {}
        return fields if isinstance(fields, dict) else {}

    def _write(self, name: str, fields: dict[str, object]) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(self._folder / name, json.dumps(fields).encode())
        except OSError as error:
            _log.warning("a schema is not kept on disk; after a restart the registry is asked again", error=str(error))


def _file_of(subject: str) -> str:
    return f"subject-{sha256(subject.encode()).hexdigest()[:32]}.json"
