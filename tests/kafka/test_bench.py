"""The benchmarks with real contenders: the figures are plausible, and no process or file is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from bench import processes
from bench.closed_loop import ClosedLoop
from bench.peers.task import Task
from bench.requests import RequestMaker
from bench.startup import KAFKA_ALONE, MODEL_ALONE
from consumers.service import service
from standfast.core.errors import ClusterError
from standfast.core.processes import launching
from standfast.core.settings import KafkaSettings, Settings
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(600)  # a test starts several systems, perhaps on a busy machine


class Bench:
    """`standfast bench …` as a user starts it, with its own folder for temporary files."""

    def __init__(self, home: Path, folder: Path) -> None:
        self.folder = folder
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("STANDFAST_", "KAFKA_"))}
        self._environment = {**inherited, "PYTHONPATH": launching.environment()["PYTHONPATH"]}
        self._environment |= {"STANDFAST_HOME": str(home), "TMPDIR": str(folder), "PYTHONFAULTHANDLER": "1"}

    def start(self, *words: str) -> subprocess.Popen[str]:
        return self.started(launching.command("bench", *words))

    def started(self, command: list[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command, env=self._environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
            # Tests that run in the background ignore SIGINT, and a child process would inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - takes no lock
        )  # fmt: skip

    def report(self, *words: str) -> dict[str, Any]:
        """The report of a benchmark with these arguments."""
        with self.start(*words, "--json") as process:
            out, err = process.communicate()
        assert process.returncode == 0, err
        report: dict[str, Any] = json.loads(out)
        return report

    def leftovers(self) -> list[str]:
        """Files in the folder, and the command lines of processes that have the folder in their environment."""
        theirs = [pid for pid in Path("/proc").glob("[0-9]*") if os.fsencode(self.folder) in _read(pid / "environ")]
        return [*map(str, self.folder.iterdir()), *(_read(pid / "cmdline").decode() for pid in theirs)]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.fixture
def bench(sample_home: Path, tmp_path: Path) -> Bench:
    (tmp_path / "t").mkdir()
    return Bench(sample_home, tmp_path / "t")


@pytest.mark.parametrize("peers", ["raw", pytest.param("plain,plain-eos", marks=pytest.mark.slow)])
def test_the_raw_limit_standfast_and_peers_answer_the_same_requests_and_leave_nothing(bench: Bench, peers: str) -> None:
    options = ("--services", "recommend", "--against", peers, "--rounds", "1", "--requests", "60")
    report = bench.report("throughput", *options)
    assert [row["contender"] for row in report["summary"]] == [
        "raw", "standfast", "bare", *(peer for peer in peers.split(",") if peer != "raw"),
    ]  # fmt: skip
    for run in report["runs"]:
        assert (run["not_ok"], run["doubled"]) == (0, 0), run
        assert run["per_second"] > 0
        assert run["raw"]["per_second"] > 0
        assert 0 < run["p50_ms"] <= run["p99_ms"]
        assert run["start_s"] > 0
        assert run["memory_mb"] > 1
    assert report["machine"]["cores"] == os.cpu_count()
    assert {"layout", "kafka", "torch", "standfast", "bare"} <= set(report["settings"])
    assert bench.leftovers() == []


@pytest.mark.slow
def test_a_mixed_load_is_held_against_the_sorted_limit_and_a_uniform_load(bench: Bench) -> None:
    report = bench.report("throughput", "--mix", "long", "--rounds", "1", "--requests", "200")
    mixed = next(row for row in report["summary"] if "longer" in row["load"] and row["contender"] == "standfast")
    assert mixed["of_sorted"]["median"] > 0
    assert mixed["short_times_uniform"]["median"] > 0
    assert {row["service"] for row in report["summary"]} == {"search"}


def test_a_start_is_told_step_by_step(bench: Bench) -> None:
    report = bench.report("startup", "--rounds", "1")
    (steps,) = report["rounds"]
    assert min(steps.pop(KAFKA_ALONE), steps.pop(MODEL_ALONE)) > 0.1
    assert list(steps) == sorted(steps, key=steps.get)
    assert next(iter(steps)) == "the command runs"
    assert {"Kafka answers", "first answer of search", "first answer of recommend"} < set(steps)
    assert bench.leftovers() == []


def test_a_row_is_judged_beside_the_machines_own_speed_and_nothing_is_left(bench: Bench) -> None:
    report = bench.report("all", "--quick", "--only", "quality")
    (row,) = report["rows"]
    assert (row["name"], row["reached"]) == ("quality", True), row
    assert row["to_reach"]
    assert row["others"] >= 0
    assert report["machine"]["cores"] == os.cpu_count()
    assert {"kafka", "torch", "search", "recommend"} <= set(report["settings"])
    (speed,) = report["reference"]
    assert speed["bare_ms"] > speed["pass_ms"]["recommend"] > 0
    assert bench.leftovers() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("row", "figure"),
    [("memory", "largest"), ("kill", "median beyond bare"), ("first-minute", "median by the warm one")],
)
def test_a_row_is_measured_on_a_system_of_its_own_of_which_nothing_is_left(bench: Bench, row: str, figure: str) -> None:
    with bench.start("all", "--quick", "--only", row, "--json") as process:
        out, err = process.communicate()
    (measured,) = json.loads(out)["rows"]
    assert measured["figures"][figure] > 0, err
    assert measured["figures"].get("lost", 0) == measured["figures"].get("doubled", 0) == 0
    assert bench.leftovers() == []


@pytest.mark.slow
def test_growth_is_told_as_rows_for_the_documentation(bench: Bench) -> None:
    few = ("--partitions", "1,4", "--k", "10,100", "--alone", "10", "--many", "100", "--warm", "10")
    with bench.started([sys.executable, "-P", "-m", "bench.growth", "--only", "partitions,k", *few]) as process:
        out, err = process.communicate()
    assert process.returncode == 0, err
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in out.splitlines() if line]
    assert [row[0] for row in rows] == ["partitions", "---:", "1", "4", "answer", "---:", "k = 10", "k = 100"]
    assert {len(row) for row in rows} == {9}
    assert all(float(cell.replace(",", "")) >= 0 for row in rows for cell in row[1:] if row[0][0] in "14k")
    assert bench.leftovers() == []


def test_without_trained_models_there_is_nothing_to_measure(bench: Bench, empty_home: Path) -> None:
    with Bench(empty_home, bench.folder).start("all", "--only", "quality") as process:
        _, err = process.communicate()
    assert process.returncode == 1
    assert "standfast models train search" in err


# A command, what it says before it is interrupted, and one of the processes that are then to end.
INTERRUPTED = [
    (("all", "--quick", "--only", "quality"), "the machine's own speed", "kafka.Kafka"),
    pytest.param(
        ("latency", "--services", "recommend", "--against", "plain", "--in-flight", "1", "--requests", "60"),
        "1 of 3: standfast",
        "own_system",
        marks=pytest.mark.slow,
    ),
    pytest.param(
        ("all", "--quick", "--only", "kill"), "starting a system", "consumers.process.nursery", marks=pytest.mark.slow
    ),
]


@contextmanager
def stacks_if_it_hangs(process: subprocess.Popen[str]) -> Iterator[None]:
    """Aborts a process that does not end within 300 s; faulthandler then writes every thread's stack to stderr."""
    watch = threading.Timer(300, process.send_signal, (signal.SIGABRT,))
    watch.start()
    try:
        yield
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        pytest.fail(process.communicate()[1])
    finally:
        watch.cancel()
    assert process.returncode != -signal.SIGABRT, "it stood still; its stacks are in stderr"


@pytest.mark.parametrize(("words", "announced", "started"), INTERRUPTED)
@pytest.mark.parametrize("how", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_whoever_interrupts_it_finds_nothing_left(
    bench: Bench, words: tuple[str, ...], announced: str, started: str, how: signal.Signals
) -> None:
    with bench.start(*words) as process, stacks_if_it_hangs(process):
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if announced in line:
                break
        else:
            pytest.fail(f"it ended before it began: {''.join(said)}")
        wait_until(lambda: any(started in leftover for leftover in bench.leftovers()), 120, what="standfast")
        process.send_signal(how)
        process.communicate(timeout=120)
    assert process.returncode == 128 + how
    wait_until(lambda: bench.leftovers() == [], what="nothing that is left")


@pytest.fixture
def settings(broker: str, unique: str) -> Settings:
    """Settings of a system of which only the topics for recommendations exist."""
    made = Settings(kafka=KafkaSettings(bootstrap_servers=broker, topic_prefix=f"{unique}-", partitions=3))
    recommend, admin = service("recommend", made), AdminClient({"bootstrap.servers": broker})
    for created in admin.create_topics(
        [NewTopic(topic, 3, 1) for topic in (recommend.requests, recommend.results)]
    ).values():
        created.result(30)
    wait_until(lambda: {recommend.requests, recommend.results} <= set(admin.list_topics(timeout=30).topics))
    return made


@pytest.fixture
def bare(settings: Settings, unique: str, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The peer `bare` on these topics."""
    recommend, servers = service("recommend", settings), settings.kafka.bootstrap_servers
    task = Task(
        service="recommend", device="cpu", batch=16, pid_file=str(tmp_path / "pid"), servers=servers,
        requests=recommend.requests, results=recommend.results, group=unique,
    )  # fmt: skip
    command = [sys.executable, "-P", "-m", "bench.peers.bare", task.argument()]
    with subprocess.Popen(command, env={**launching.environment(), "KAFKA_BOOTSTRAP_SERVERS": servers}) as peer:
        yield peer
        processes.end([peer.pid], 5)


@pytest.mark.usefixtures("empty_home")
def test_the_closed_loop_times_every_request_once(settings: Settings, bare: subprocess.Popen[bytes]) -> None:
    loop = ClosedLoop(settings, service("recommend", settings))
    timings = loop.run(RequestMaker("recommend").make(300).requests, 24)
    loop.close()
    assert bare.poll() is None
    assert len(timings.seconds) == 300
    assert all(0 < second <= timings.elapsed for second in timings.seconds)
    assert (timings.not_ok, timings.doubled) == (0, 0)


@pytest.mark.usefixtures("empty_home")
def test_a_wait_ends_when_the_one_waited_for_is_dead(settings: Settings) -> None:
    def dead() -> None:
        raise ClusterError("plain ended (1): no memory")

    loop = ClosedLoop(settings, service("recommend", settings), dead)
    with pytest.raises(ClusterError, match="plain ended"):
        loop.run(RequestMaker("recommend").make(1).requests, 1)
    loop.close()
