"""Completes `.venv`: the locked Python packages, this project and Apache Kafka's jars. Standard library only.

`make setup` runs it. It skips what is complete, and finishes or replaces what is half-made. Every failure ends with one
line that says what to do.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DECIDED_BY = ("pyproject.toml", "requirements.lock", "standfast/kafka/kafka.lock.toml", "tools/setup.py")
GIGABYTE = 1_000_000_000
NEEDED = 8 * GIGABYTE  # torch with its CUDA libraries is 5.3 GB of it
FULL = 200_000_000  # bytes; when a step fails with less than this free, the disk is blamed

IMPORTS = (
    "import bench.failover.campaign, drills.main, models.loading, models.training, standfast.supervisor, streams.app"
)
FETCH_KAFKA = """
import sys
from standfast.core.errors import StandfastError
from standfast.kafka.aot_cache import prepare
from standfast.kafka.distribution import jars_folder
try:
    jars_folder()
    prepare()
except StandfastError as error:
    sys.exit(str(error))
"""


class SetupFailed(Exception):
    """Set-up cannot go on; the message is the one line that says what to do."""


def main(arguments: Sequence[str]) -> int:
    """Sets up this file's project; returns the exit status. `--is-whole` only asks whether nothing is left to do."""
    if "--is-whole" in arguments:
        return 0 if is_whole(ROOT, mark(ROOT)) else 1
    try:
        set_up(ROOT)
    except SetupFailed as failure:
        return say(f"setup: {failure}", 1)
    except KeyboardInterrupt:
        return say("setup: interrupted; run `make setup` again, it goes on from here", 130)
    except OSError as error:
        return say(f"setup: {explained(error)}", 1)
    return 0


def set_up(root: Path) -> None:
    """Does the missing steps, none if all are done. Blocks while another set-up of the same folder runs."""
    wanted = mark(root)
    if is_whole(root, wanted):
        return
    check_platform(sys.platform)
    with one_at_a_time(root):
        if is_whole(root, wanted):
            return
        check_folder(root)
        check_space(root, os.environ)
        make_environment(root)
        install_packages(root)
        compile_what_starts(root)
        fetch_kafka(root)
        stamp(root).write_text(wanted, encoding="utf-8")
    say(f"setup: done; the command is {root.name}/.venv/bin/standfast")


def say(line: str, status: int = 0) -> int:
    """Prints one line on stderr; returns `status`."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - no package is installed yet
    return status


def explained(error: OSError) -> str:
    """The line for an error of the operating system, with what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full; free {NEEDED // GIGABYTE} GB and run `make setup` again"
    return f"{error.filename or ROOT}: {error.strerror}; put that right and run `make setup` again"


# Whether there is anything to do


def stamp(root: Path) -> Path:
    """The file that says for which lock files and path `.venv` was made."""
    return root / ".venv" / "standfast-setup.json"


def mark(root: Path) -> str:
    """The stamp's right content; it holds the project's path, because scripts in `.venv/bin` hold absolute paths."""
    files = {name: root / name for name in DECIDED_BY}
    digests = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items() if path.is_file()}
    return json.dumps({"root": str(root), **digests}, indent=1)


def is_whole(root: Path, wanted: str) -> bool:
    """Whether nothing is left to do; False too if the Python that `.venv` was made from is gone."""
    try:
        return stamp(root).read_text(encoding="utf-8") == wanted and os.access(python(root), os.X_OK)
    except (FileNotFoundError, NotADirectoryError):
        return False


# Checks before anything is downloaded


def check_platform(platform: str) -> None:
    """Raises SetupFailed unless this is Linux: workers are forked and watched with features only Linux has."""
    if platform != "linux":
        raise SetupFailed(
            f"Standfast needs Linux and this is {platform}; use the containers (docker compose up) or, on Windows, WSL2"
        )


def check_folder(root: Path) -> None:
    """Raises SetupFailed unless the project's folder is writable and this Python can make environments."""
    if not os.access(root, os.W_OK):
        raise SetupFailed(f"{root} cannot be written to; clone the project into a folder of your own")
    if find_spec("venv") is None or find_spec("ensurepip") is None:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise SetupFailed(
            f"{sys.executable} cannot make environments; install its venv module (Debian, Ubuntu: "
            f"sudo apt install python{version}-venv)"
        )


def check_space(root: Path, environment: Mapping[str, str]) -> None:
    """Raises SetupFailed unless the disk of `.venv` has 8 GB free, and uv's cache too if it is on another disk."""
    present = size(root / ".venv")
    for folder in dict.fromkeys((root, uv_cache(root, environment))):
        free = free_bytes(folder)
        if free + present < NEEDED:
            raise SetupFailed(
                f"{free / GIGABYTE:.1f} GB are free on the disk of {folder} and {(NEEDED - present) / GIGABYTE:.1f} GB "
                "are needed; free some space, or set UV_CACHE_DIR if that is the folder named"
            )


def uv_cache(root: Path, environment: Mapping[str, str]) -> Path:
    """The folder of uv's cache; `root` if both are on one disk, since uv links files there instead of copying them."""
    named = environment.get("UV_CACHE_DIR")
    base = environment.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(named) if named else Path(base) / "uv"
    while not folder.exists():
        folder = folder.parent
    return root if folder.stat().st_dev == root.stat().st_dev else folder


def free_bytes(folder: Path) -> int:
    """Free bytes on the folder's disk."""
    return shutil.disk_usage(folder).free


def size(folder: Path) -> int:
    """The bytes of all files in the folder, 0 if there is no folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*")) if folder.is_dir() else 0


# The steps


@contextmanager
def one_at_a_time(root: Path) -> Iterator[None]:
    """Holds a lock on the project's folder: a second `make setup` waits for it, and then finds the work done."""
    descriptor = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def python(root: Path) -> Path:
    """The environment's Python."""
    return root / ".venv" / "bin" / "python"


def make_environment(root: Path) -> None:
    """Makes `.venv` with pip, replacing one that is half-made, was moved, or whose Python is gone."""
    folder = root / ".venv"
    if is_usable(root):
        stamp(root).unlink(missing_ok=True)
        return
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    elif folder.exists():
        say("setup: .venv is not usable; making it anew")
        shutil.rmtree(folder)
    say(f"setup: [1/4] an environment in .venv, of {sys.executable}")
    run([sys.executable, "-m", "venv", str(folder)], "the environment could not be made: see above")


def is_usable(root: Path) -> bool:
    """Whether `.venv` was made at this path and has a Python (3.11 to 3.14) and a pip that work."""
    check = "import sys, pip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))"
    folder = root / ".venv"
    try:
        made_by = (folder / "pyvenv.cfg").read_text(encoding="utf-8")
        works = subprocess.run([python(root), "-c", check], capture_output=True, check=False).returncode == 0
    except OSError:
        return False
    return works and f" -m venv {folder}\n" in made_by


def install_packages(root: Path) -> None:
    """Installs exactly the packages of the lock file, checked against their hashes, and the project itself."""
    interpreter = str(python(root))
    locked_uv = root / ".venv" / "uv.txt"
    locked_uv.write_text(block_of("uv", (root / "requirements.lock").read_text(encoding="utf-8")), encoding="utf-8")
    offline = "the packages could not be downloaded: check the network or pip's mirror, then run `make setup` again"
    say("setup: [2/4] the installer, uv")
    pip = [interpreter, "-m", "pip", "--disable-pip-version-check"]
    run([*pip, "install", "-q", "--retries", "2", "--require-hashes", "-r", str(locked_uv)], offline)
    uv = [interpreter, "-m", "uv", "pip"]
    say("setup: [3/4] the Python packages; the first time about 3 GB are downloaded")
    run([*uv, "sync", "--python", interpreter, "--require-hashes", str(root / "requirements.lock")], offline)
    project = ["install", "-q", "--python", interpreter, "--no-build-isolation", "--no-deps", "-e", str(root)]
    run([*uv, *project], "the project itself could not be installed: see above")


def block_of(package: str, lock: str) -> str:
    """The lines of one package in a lock file."""
    lines = lock.splitlines(keepends=True)
    start = next(n for n, line in enumerate(lines) if line.startswith(f"{package}=="))
    end = next(n for n in range(start, len(lines)) if not lines[n].rstrip().endswith("\\"))
    return "".join(lines[start : end + 1])


def fetch_kafka(root: Path) -> None:
    """Fetches Apache Kafka's jars into the user's cache folder, and makes the AOT cache that halves its start time."""
    say("setup: [4/4] Apache Kafka, 55 MB once; then it is started once, so that it starts sooner from now on")
    run([str(python(root)), "-c", FETCH_KAFKA], "Apache Kafka could not be fetched: see above")


def compile_what_starts(root: Path) -> None:
    """Compiles the byte code of all that the roles import: without it each start compiles it (torch: 7 s, not 3)."""
    run([str(python(root)), "-c", IMPORTS], "the project cannot be imported: see above")


def run(command: Sequence[str], failed: str) -> None:
    """Runs a step, its output on stderr; if it fails, raises SetupFailed with `failed`, or because the disk is full."""
    result = subprocess.run(command, cwd=ROOT, env=clean(os.environ), stdout=sys.stderr, check=False)
    if result.returncode == 0:
        return
    if free_bytes(ROOT) < FULL:
        raise SetupFailed(f"the disk is full; free {NEEDED // GIGABYTE} GB and run `make setup` again")
    raise SetupFailed(failed)


def clean(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without variables that make Python or pip use anything but `.venv`; gives uv pip's mirror."""
    misleading = {
        "PYTHONHOME",
        "PYTHONPATH",
        "PYTHONDONTWRITEBYTECODE",
        "PIP_USER",
        "PIP_TARGET",
        "PIP_PREFIX",
        "VIRTUAL_ENV",
        "CONDA_PREFIX",
    }
    kept = {name: value for name, value in environment.items() if name not in misleading}
    if "PIP_INDEX_URL" in kept:
        kept.setdefault("UV_DEFAULT_INDEX", kept["PIP_INDEX_URL"])
    return kept


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
