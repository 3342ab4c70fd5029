"""The products of the topic `catalogue` as this host has copied them, for training."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import structlog

from consumers.catalogue.store import attributes_in
from consumers.following import bulletin
from models.base import Change
from models.data.catalogue import Overlay

_CHANGES = "select item_id, title, text, attributes from products order by number"
_log = structlog.get_logger()


def known(stores: Path) -> Overlay | None:
    """All changes of the topic, if a follower runs on this host and has read it to its end; else None."""
    told = bulletin.read(stores)
    if told is None or not told.complete or not told.is_fresh():
        return None
    uri = f"{(stores / told.store).as_uri()}?mode=rw"
    try:
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
            connection.execute("begin")  # products and offsets of the same moment
            rows = connection.execute(_CHANGES).fetchall()
            positions = connection.execute("select partition, next from positions order by partition").fetchall()
    except sqlite3.Error as error:
        _log.warning("the changes of the catalogue cannot be read; trained without them", error=str(error))
        return None
    changes = [Change(item_id, title, text, attributes_in(stored)) for item_id, title, text, stored in rows]
    return Overlay(changes, " ".join(f"{partition}:{next_}" for partition, next_ in positions))
