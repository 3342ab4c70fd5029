"""One broker of the embedded cluster: its folder and its process."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import struct
import subprocess
import time
from pathlib import Path

from standfast.core.errors import ClusterError
from standfast.core.processes.child import start_child
from standfast.core.surroundings import kept_variables
from standfast.kafka import jit_priority
from standfast.kafka.broker_config import Layout, NodePorts, logging_config, properties, random_id
from standfast.kafka.distribution import QUICK_TO_START, bootstrap_file, java_command
from standfast.kafka.lock import KAFKA_VERSION

_FLOCK = "hhqqi"  # struct flock: type, whence, start, length, pid
_NEWER_DATA = "UnsupportedVersionException: Can't read version"
_TELLING = re.compile(r"\] (ERROR|FATAL) |^Caused by: |Exception: |^Error|^OpenJDK .*error")


class Node:
    """One Kafka process, broker and controller in one, with its data below `folder/node-<id>`."""

    def __init__(self, folder: Path, layout: Layout, ports: NodePorts) -> None:
        self.id = ports.id
        broker, controller = ports.listens
        self.address = f"127.0.0.1:{broker}"
        self.controller_address = f"127.0.0.1:{controller}"
        self.folder = folder / f"node-{ports.id}"
        self._layout = layout
        self._ports = ports
        self._heap = "512m" if len(layout.nodes) == 1 else "384m"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        """The folder with the broker's partitions (`log.dirs`)."""
        return self.folder / "data"

    @property
    def log_file(self) -> Path:
        """Kafka's own log."""
        return self.folder / "logs" / "server.log"

    @property
    def pid(self) -> int | None:
        """The process id of the last start, None before it."""
        return self._process.pid if self._process else None

    @property
    def alive(self) -> bool:
        """Whether the process runs, which does not mean that it answers."""
        return self._process is not None and self._process.poll() is None

    def write_config(self) -> None:
        """Writes the configuration files, replacing those of the last start."""
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        self._config("server.properties", properties(self._layout, self._ports, self.data.name))
        self._config("log4j2.properties", logging_config("logs/server.log"))

    def begin_format(self) -> subprocess.Popen[bytes] | None:
        """Starts Kafka's `storage format` for this node in `data.new`, so that a kill leaves no half-formatted `data`.

        None if nothing is left to do: the node is formatted, now or before. Raises ClusterError if there are partitions
        but no `meta.properties`.
        """
        if (self.data / "meta.properties").is_file():
            return None
        if self.data.exists():
            self._clear_half_written()
        fresh = self.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        if bootstrap_file().is_file():
            self._format(fresh)
            return None
        config = self._config("format.properties", properties(self._layout, self._ports, fresh.name))
        command = [*self._java("kafka.tools.StorageTool", "128m", QUICK_TO_START), "format", "--config", config]
        return self._start([*command, "--cluster-id", self._layout.cluster_id], signal.SIGKILL)

    def end_format(self, process: subprocess.Popen[bytes], timeout: float) -> None:
        """Waits for the process of `begin_format` and renames `data.new`; raises ClusterError if it failed."""
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            code = None
        fresh = self.folder / "data.new"
        if code != 0 or not (fresh / "meta.properties").is_file():
            raise ClusterError(f"Kafka's data folder {self.data} could not be prepared: {self.last_words()}")
        fresh.rename(self.data)

    def _format(self, fresh: Path) -> None:
        """Does what `storage format` does, without the 0.8 s that Java takes for it.

        What it wrote at set-up into `bootstrap.checkpoint` are Kafka's feature levels, the same for every node.
        """
        shutil.copyfile(bootstrap_file(), fresh / bootstrap_file().name)
        text = f"version=1\ncluster.id={self._layout.cluster_id}\nnode.id={self.id}\ndirectory.id={random_id()}\n"
        (fresh / "meta.properties").write_text(text, encoding="ascii")
        fresh.rename(self.data)

    def launch(self, *options: str) -> None:
        """Starts the process and returns at once; call it from the main thread (see `start_child`).

        `options` are further JVM options.
        """
        single = len(self._layout.nodes) == 1  # three brokers on one machine are for trying out failures
        jvm = options if single else (QUICK_TO_START, *options)
        command = [*self._java("kafka.Kafka", self._heap, *jvm), "server.properties"]
        self._process = self._start(command, signal.SIGTERM)
        if single:
            jit_priority.lower_priority(self._process.pid)

    def restart(self) -> None:
        """Starts the process again with its data and ports, after a `kill` or a crash; returns at once."""
        if self.alive:
            raise ClusterError(f"broker {self.id} runs already, with pid {self.pid}; stop or kill it first")
        self.launch()

    def kill(self) -> None:
        """Sends SIGKILL and waits until the process is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def end(self) -> None:
        """Sends SIGKILL, which ends a stopped process too, and returns at once."""
        if self._process is not None:
            self._process.kill()

    def terminate(self) -> None:
        """Sends SIGTERM, at which Kafka stops cleanly, and returns at once."""
        if self._process is not None:
            self._process.terminate()

    def wait(self, deadline: float) -> bool:
        """Waits until the process is gone; after `deadline` (monotonic seconds) kills it and returns False."""
        if self._process is None:
            return True
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        return True

    def holder(self) -> int | None:
        """The pid of a living process that holds the lock on this node's data folder, None if there is none."""
        return holder(self.data)

    def last_words(self) -> str:
        """The last log line with an error, and the log's path."""
        for path in (self.log_file, self._output):
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
            telling = [line for line in lines[-500:] if _TELLING.search(line)]
            if telling:
                return f"{telling[-1].strip()[:300]}{self._remedy(telling[-1])} (log: {path})"
        return f"nothing in its log says why (log: {self._output})"

    def _remedy(self, line: str) -> str:
        if _NEWER_DATA not in line:
            return ""
        return (
            f"; the data were written by a newer Kafka than {KAFKA_VERSION}, which comes with Standfast: move "
            f"{self.folder.parent} away to begin with empty topics"
        )

    @property
    def _output(self) -> Path:
        return self.folder / "logs" / "java.out"

    def _start(self, command: list[str], signal_at_death: int) -> subprocess.Popen[bytes]:
        """Starts the command in the node's folder, so that all of its files have plain names.

        In a path, Kafka takes a comma for a separator, and a properties file takes a backslash for an escape and an
        umlaut for two characters; in a locale without umlauts Java does not find the folder.
        """
        environment = {**kept_variables(os.environ), "LC_ALL": "C.UTF-8"}
        return start_child(command, signal_at_death, self._output, environment, self.folder)

    def _java(self, main_class: str, heap: str, *options: str) -> list[str]:
        logging = "-Dlog4j2.configurationFile=log4j2.properties"
        return java_command(main_class, heap, [*options, logging, "-Dkafka.logs.dir=/dev/null"])

    def _config(self, name: str, text: str) -> str:
        (self.folder / name).write_text(text, encoding="utf-8")
        return name

    def _clear_half_written(self) -> None:
        partitions = [path.name for path in self.data.iterdir() if path.is_dir()]
        if partitions:
            raise ClusterError(
                f"{self.data} holds {len(partitions)} partitions ({min(partitions)}, …) but no meta.properties, so "
                "Kafka cannot tell whose they are; put that file back, or move the folder away to start empty"
            )
        shutil.rmtree(self.data)


def holder(data: Path) -> int | None:
    """The pid of a living process that holds the lock on a broker's data folder, None if there is none.

    Kafka's `.lock` file stays when a broker dies, so only the kernel's lock on it counts.
    """
    try:
        with (data / ".lock").open("rb+") as lock:
            query = struct.pack(_FLOCK, fcntl.F_WRLCK, 0, 0, 0, 0)
            kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(lock, fcntl.F_GETLK, query))
    except FileNotFoundError:
        return None
    return None if kind == fcntl.F_UNLCK else int(pid)
