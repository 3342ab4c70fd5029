"""Kafka's jars: fetched from a repository on loopback, checked against the lock, refused when they differ."""

from __future__ import annotations

import errno
import hashlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from standfast.core.errors import SetupError
from standfast.kafka import distribution
from standfast.kafka.lock import LOCK_FILE, LockedJar, locked_jars

BYTES = {"alpha": b"first jar" * 100, "beta": b"second jar" * 100}


@dataclass
class Repository:
    """A Maven repository that serves the jars in `served` (`BYTES` by default); `asked` are the jars requested."""

    url: str = ""
    served: dict[str, bytes] = field(default_factory=lambda: dict(BYTES))
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    repository = Repository()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.rpartition("/")[2]
            body = repository.served.get(name.removesuffix("-1.0.jar"))
            if name.endswith(".jar"):
                repository.asked.append(name)
            self.send_response(200 if body else 404)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    repository.url = f"http://127.0.0.1:{server.server_address[1]}"
    settings = tmp_path / "jgo.conf"
    settings.write_text(f"[repositories]\nlocal = {repository.url}\n")
    monkeypatch.setenv("JGO_CONFIG_FILE", str(settings))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    jars = [LockedJar("org.x", name, "1.0", hashlib.sha256(body).hexdigest()) for name, body in BYTES.items()]
    monkeypatch.setattr(distribution, "locked_jars", lambda: jars)
    yield repository
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_jars_are_fetched_once_and_then_found_without_a_network(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = distribution.jars_folder()
    assert {path.name: path.read_bytes() for path in folder.glob("*.jar")} == {
        f"{name}-1.0.jar": body for name, body in BYTES.items()
    }
    output = capsys.readouterr()
    assert "fetching Apache Kafka" in output.err
    assert output.out == ""
    repository.served.clear()
    assert distribution.jars_folder() == folder
    assert sorted(repository.asked) == ["alpha-1.0.jar", "beta-1.0.jar"]
    assert capsys.readouterr().err == ""


def test_a_flipped_byte_is_noticed_and_only_that_jar_is_fetched_again(repository: Repository) -> None:
    jar = distribution.jars_folder() / "alpha-1.0.jar"
    repository.asked.clear()
    jar.write_bytes(b"F" + jar.read_bytes()[1:])
    assert (distribution.jars_folder() / "alpha-1.0.jar").read_bytes() == BYTES["alpha"]
    assert repository.asked == ["alpha-1.0.jar"]


def test_other_bytes_than_the_locked_ones_are_refused(repository: Repository) -> None:
    repository.served["beta"] = b"not what was locked"
    with pytest.raises(SetupError, match=r"org\.x:beta:1\.0 was fetched 3 times .* it is refused"):
        distribution.jars_folder()
    repository.served["beta"] = BYTES["beta"]
    assert distribution.jars_folder().is_dir()


def test_what_an_interrupted_fetch_left_behind_is_used_and_nothing_half_done_is_trusted(
    repository: Repository,
) -> None:
    folder = distribution.jars_folder()
    (folder / "verified.json").unlink()
    (folder / "beta-1.0.jar").write_bytes(b"half of i")
    folder.rename(folder.with_name(f"{folder.name}.partial"))
    repository.asked.clear()
    assert (distribution.jars_folder() / "beta-1.0.jar").read_bytes() == BYTES["beta"]
    assert repository.asked == ["beta-1.0.jar"]


def test_two_first_starts_at_once_fetch_once(repository: Repository) -> None:
    threads = [threading.Thread(target=distribution.jars_folder) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(repository.asked) == ["alpha-1.0.jar", "beta-1.0.jar"]


def test_no_network_is_one_line_that_says_what_to_do(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "jgo.conf").write_text("[repositories]\nlocal = http://127.0.0.1:1\n")
    with pytest.raises(
        SetupError, match=r"cannot be fetched \(.*refused.*needs the network: connect, or copy"
    ) as refused:
        distribution.jars_folder()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("number", "message"), [(errno.ENOSPC, "is full; .* free some space"), (errno.EACCES, "cannot be stored below")]
)
def test_a_disk_that_takes_nothing_is_explained(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, number: int, message: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, "refused by the test")

    monkeypatch.setattr(distribution, "_install", refuse)
    with pytest.raises(SetupError, match=message):
        distribution.jars_folder()


def test_the_lock_names_every_jar_once_with_its_digest_and_no_address() -> None:
    jars = locked_jars()
    assert len({jar.file_name for jar in jars}) == len(jars) > 80
    assert all(re.fullmatch(r"[0-9a-f]{64}", jar.sha256) for jar in jars)
    assert {"kafka_2.13", "kafka-tools", "log4j-slf4j-impl"} <= {jar.artifact for jar in jars}
    assert "://" not in LOCK_FILE.read_text()


def test_the_real_jars_are_the_locked_ones_and_on_the_class_path() -> None:
    jars = locked_jars()
    assert distribution.wrong_jars(distribution.jars_folder(), jars) == []
    command = distribution.java_command("kafka.Kafka", "512m", ["-Dx=y"])
    assert command[command.index("-cp") + 1] == f"{distribution.jars_folder()}/*"
    assert command[-1] == "kafka.Kafka"
    assert {"-Xmx512m", "-Dx=y"} <= set(command)
