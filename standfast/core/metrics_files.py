"""prometheus_client's multiprocess files, made safe against torn files and full disks."""

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
_AROUND_KEY = 32  # bytes a value takes beside its key, at most: length, padding, value and timestamp


class ValuesFile(MmapedDict):
    """One process's metrics file.

    Its disk blocks are allocated beforehand: a write to a mapped page without one kills the process (SIGBUS). On a full
    disk the values are kept in memory, where the collector does not see them; a file torn by a kill is begun anew.
    """

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        if not read_mode and not _is_whole(filename):
            Path(filename).unlink(missing_ok=True)
        super().__init__(filename if read_mode else _with_space(filename), read_mode)  # type: ignore[no-untyped-call]

    def _init_value(self, key: str) -> None:
        """Makes room for another value; on a full disk, moves all of them to memory."""
        if self._used + len(key.encode()) + _AROUND_KEY > self._capacity:
            try:
                os.posix_fallocate(self._f.fileno(), 0, self._capacity * 2)
            except OSError as error:
                _log.warning("metrics of this process are shown no more", file=self._fname, reason=error.strerror)
                memory = os.fdopen(os.memfd_create("metrics"), "a+b")
                memory.write(self._m[:])
                memory.flush()
                self._f.close()
                self._f, self._m = memory, mmap.mmap(memory.fileno(), self._capacity)
        super()._init_value(key)  # type: ignore[no-untyped-call]


class Collector(MultiProcessCollector):
    """Adds up the values of all readable files in a folder."""

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
    """Whether every value in the file can be read; True for a file without values."""
    try:
        MultiProcessCollector.merge([name])  # type: ignore[no-untyped-call]
    except FileNotFoundError:
        return False
    except Exception:  # noqa: BLE001 - a torn file may raise anything in prometheus_client's reader
        return False
    return True


def _with_space(name: str) -> str:
    """The file's name, its blocks allocated; on a full disk, the name of a file in memory instead."""
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
