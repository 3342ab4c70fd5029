"""Lays what the topic `catalogue` says over the model of a worker or standby, between its batches.

A thread reads the host's store; the thread that computes batches calls `apply`, which does little at a time: it lays
over what has a vector for 2 ms, then computes the vector of one text. Which one is drawn at random, so that the workers
of a host, who share the vectors, seldom compute the same one. So a host with a standby that has nothing else to do
encodes each text about once, and a single change is answered with at once, without waiting for another process.
"""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import structlog

from consumers.catalogue.rows import Row, Rows
from consumers.following import bulletin
from models.base import Changeable
from standfast.core import telemetry
from standfast.core.topics.topic_file import damaged, is_damage

_log = structlog.get_logger()
_LOOK_S = 0.2
_AT_ONCE = 500  # products read in one go
_MOST_WAITING = 16 << 20  # characters of products that wait in memory; the others are left in the store
_ROW = 500  # characters that a product counts for beside those of its text
_BETWEEN_S = 0.002  # for what needs no vector, between two batches
_ENCODE_EVERY_S = 0.1  # while requests wait: a text takes some 5 ms, so at most a twentieth of the time
_AT_START_S = 10.0  # for what the store holds already; a standby is not ready before


class CatalogueChanges:
    """Follows the store of a host.

    Args:
        folder: of the stores and the bulletin.
        changed: called after something was laid over the model, so that no answer of before is kept.
    """

    def __init__(self, folder: Path, model: Changeable, service: str, changed: Callable[[], None]) -> None:
        self._folder, self._model, self._changed = folder, model, changed
        self._store = ""
        self._rows: Rows | None = None
        self._adding = threading.Lock()
        self._ready: deque[tuple[str, Row | None]] = deque()  # None: as it was at training
        self._missing: dict[str, Row] = {}  # without a vector
        self._encoded: list[tuple[str, bytes]] = []
        self._applied: dict[str, int] = {}  # hash of title, text and attributes, also of what is on its way
        self._encoded_at = 0.0
        self._logged = ""
        self._waiting = telemetry.CATALOGUE_WAITING.labels(service)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="catalogue", daemon=True)

    def start(self) -> None:
        """Lays over what the store holds, without computing vectors, for 10 s at most; then starts the thread."""
        until = time.monotonic() + _AT_START_S
        more = True
        while more and time.monotonic() < until:
            more = self._look()
            while self._ready:
                self._apply_ready()
        self._thread.start()

    def apply(self, *, busy: bool) -> bool:
        """Does a part of what there is to do; returns whether there is more.

        Args:
            busy: requests wait; vectors are then computed ten times a second at most.
        """
        if not (self._ready or self._missing):
            return False
        self._apply_ready()
        if not self._ready and not (busy and time.monotonic() - self._encoded_at < _ENCODE_EVERY_S):
            self._encode_one()
        return bool(self._ready or self._missing)

    def close(self) -> None:
        """Ends the thread."""
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._rows is not None:
            self._rows.close()

    def _apply_ready(self) -> None:
        if not self._ready:
            return
        until = time.perf_counter() + _BETWEEN_S
        while self._ready:
            self._lay_over(*self._ready.popleft())
            if time.perf_counter() > until:
                break
        self._changed()

    def _encode_one(self) -> None:
        with self._adding:
            if not self._missing:
                return
            item_id = random.choice(list(self._missing))
            row = self._missing.pop(item_id)
        try:
            vector = self._model.vector(row.change.text)
        except Exception as error:  # noqa: BLE001 - whatever a text does to an encoder, the worker goes on answering
            _log.error("a changed product cannot be encoded", item_id=item_id, error=f"{type(error).__name__}: {error}")
            return
        self._encoded_at = time.monotonic()
        self._lay_over(item_id, Row(row.change, row.digest, vector))
        self._changed()
        self._encoded.append((row.change.text, vector))

    def _lay_over(self, item_id: str, row: Row | None) -> None:
        try:
            if row is None:
                self._model.restore(item_id)
            else:
                self._model.change(row.change, row.vector)
        except Exception as error:  # noqa: BLE001 - as above
            _log.error("a product cannot be changed", item_id=item_id, error=f"{type(error).__name__}: {error}")

    def _follow(self) -> None:
        while not self._closing.wait(_LOOK_S):
            try:
                self._look()
            except Exception:  # noqa: BLE001 - the thread goes on: the next look may succeed
                _log.exception("changes of the catalogue cannot be looked for")

    def _look(self) -> bool:
        """Takes in what is new in the store; returns whether there may be more."""
        current = bulletin.read(self._folder)
        more, store = False, self._store
        try:
            if current is not None and current.store != self._store and (current.complete or not self._store):
                store = current.store
                self._open(store)
            if self._rows is not None:
                self._share(self._rows)
                more = self._take_in(self._rows)
            self._logged = ""
        except sqlite3.Error as error:
            self._failed(store, error)
        self._waiting.set(len(self._ready) + len(self._missing))
        return more

    def _open(self, store: str) -> None:
        """Goes over to another store. What it does not hold is restored, what it holds unchanged stays as it is."""
        rows = Rows(self._folder / store, self._model.vectors_of)
        try:
            gone = self._applied.keys() - rows.item_ids()
        except sqlite3.Error:
            rows.close()
            raise
        if self._rows is not None:
            self._rows.close()
        self._rows, self._store = rows, store
        with self._adding:
            for item_id in (*gone, *self._missing):
                self._applied.pop(item_id, None)
            self._missing.clear()
            self._ready.extend((item_id, None) for item_id in gone)

    def _take_in(self, rows: Rows) -> bool:
        with self._adding:
            waiting = sum(_ROW + len(row.change.text) for row in self._missing.values())
        if waiting + _ROW * len(self._ready) > _MOST_WAITING:
            return False
        read = rows.following(_AT_ONCE)
        for row in read:
            item_id, state = row.change.item_id, hash((row.change.title, row.digest, row.change.attributes))
            if self._applied.get(item_id) == state:
                continue
            self._applied[item_id] = state
            with self._adding:
                self._missing.pop(item_id, None)
                if row.vector or not self._model.needs_vector(row.change):
                    self._ready.append((item_id, row))
                else:
                    self._missing[item_id] = row
        return len(read) == _AT_ONCE

    def _share(self, rows: Rows) -> None:
        """Gives the other workers the vectors that this one computed, and takes theirs."""
        if self._encoded:
            encoded = self._encoded[:]
            rows.add_vectors(encoded)
            del self._encoded[: len(encoded)]
        if not self._missing:
            return
        vectors = rows.new_vectors()
        with self._adding:
            for item_id, row in list(self._missing.items()):
                if vector := vectors.get(row.digest):
                    del self._missing[item_id]
                    self._ready.append((item_id, Row(row.change, row.digest, vector)))

    def _failed(self, store: str, error: sqlite3.Error) -> None:
        """Opens the store anew at the next look; has the follower begin another one if this one is damaged."""
        if str(error) != self._logged:
            _log.warning("changes of the catalogue cannot be read, trying again", error=str(error))
        self._logged = str(error)
        if is_damage(error):
            damaged(self._folder / store).touch()
        if self._rows is not None:
            self._rows.close()
        self._rows, self._store = None, ""
