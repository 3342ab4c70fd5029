"""The files that processes share their metrics in: a torn one costs its own values, a full disk nobody's life."""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Iterable
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

_log = structlog.get_logger()
_SIZE = 1 << 16
_AROUND_KEY = 32  # its length, padding, value and time


class ValuesFile(MmapedDict):
    """One file, written by one process.

    Its space is taken beforehand: a page of a mapped file that finds no space on the disk kills its process (SIGBUS).
    Where there is no space, or what is there was left torn by a kill, values are kept apart or begun anew.
    """

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        if not read_mode and not _is_whole(filename):
            Path(filename).unlink(missing_ok=True)
        super().__init__(filename if read_mode else _with_space(filename), read_mode)  # type: ignore[no-untyped-call]

    def _init_value(self, key: str) -> None:
        """Makes room for another value; in memory, which nobody sees, if there is none on the disk."""
        if self._used + len(key.encode()) + _AROUND_KEY > self._capacity:
            try:
                os.posix_fallocate(self._f.fileno(), 0, self._capacity * 2)
            except OSError as error:
                _log.warning("metrics of this process are shown no more", file=self._fname, reason=error.strerror)
                apart = os.fdopen(os.memfd_create("metrics"), "a+b")
                apart.write(self._m[:])
                apart.flush()
                self._f.close()
                self._f, self._m = apart, mmap.mmap(apart.fileno(), self._capacity)
        super()._init_value(key)  # type: ignore[no-untyped-call]


class Collector(MultiProcessCollector):
    """Adds up what the files of a folder say, as far as they can be read."""

    def __init__(self, registry: CollectorRegistry, folder: Path) -> None:
        super().__init__(registry, str(folder))  # type: ignore[no-untyped-call]
        self._folder = folder
        self._torn: set[str] = set()

    def collect(self) -> Iterable[Metric]:
        """The metrics of all slots."""
        files = [str(path) for path in self._folder.glob("*.db")]
        whole = [name for name in files if _is_whole(name)]
        torn = set(files) - set(whole)
        if torn - self._torn:
            _log.warning("metrics files that cannot be read are left out", files=sorted(torn))
        self._torn = torn
        return self.merge(whole)  # type: ignore[no-untyped-call, no-any-return]


def _is_whole(name: str) -> bool:
    """Whether every value in it can be read; also where there is none yet."""
    try:
        MultiProcessCollector.merge([name])  # type: ignore[no-untyped-call]
    except FileNotFoundError:
        return False
    except Exception:  # noqa: BLE001 - whatever half a file makes of its reader
        return False
    return True


def _with_space(name: str) -> str:
    """The file's name, with all its space taken; if the disk has none, that of a place in memory, which nobody sees."""
    try:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT, 0o644)
        with contextlib.closing(os.fdopen(descriptor, "r+b")) as file:
            os.posix_fallocate(file.fileno(), 0, _SIZE)
    except OSError as error:
        _log.warning("metrics of this process are not shown", file=name, reason=error.strerror)
        memory = os.memfd_create("metrics")
        os.ftruncate(memory, _SIZE)
        return f"/proc/self/fd/{memory}"
    return name
