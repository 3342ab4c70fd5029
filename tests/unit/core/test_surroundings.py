"""Variables and modules of other programs are kept out; closed streams and ignored signals are handled."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from standfast.core import surroundings
from standfast.core.processes import launching
from standfast.core.processes.child import signal_name, why_it_ended
from standfast.core.settings import load

_KUBERNETES = {
    "KAFKA_PORT": "tcp://10.0.0.1:9092",
    "KAFKA_SERVICE_HOST": "10.0.0.1",
    "KAFKA_SERVICE_PORT_CLIENTS": "9092",
    "KAFKA_PORT_9092_TCP_ADDR": "10.0.0.1",
    "STANDFAST_PORT": "tcp://10.0.0.2:9464",
    "STANDFAST_SERVICE_HOST": "10.0.0.2",
    "STANDFAST_METRICS_PORT": "tcp://10.0.0.2:9464",
    "STANDFAST_METRICS_PORT_9464_TCP_PROTO": "tcp",
}
_OTHERS = {
    "APP_VERSION": "1.4.2", "BROKER_URL": "redis://127.0.0.1", "WEB_PORT": "x", "PROMETHEUS_MULTIPROC_DIR": "/nowhere",
    "JAVA_TOOL_OPTIONS": "-Xnonsense", "JDK_JAVA_OPTIONS": "-Xnonsense", "_JAVA_OPTIONS": "-X", "CLASSPATH": "/x",
    "DJANGO_SETTINGS_MODULE": "theirs", "PYTHONWARNINGS": "error", "PYTHONSTARTUP": "/x", "F_DATADIR": "/x",
}  # fmt: skip


def _run(*arguments: str, code: str = "", **more: object) -> subprocess.CompletedProcess[str]:
    words = launching.command(*arguments) if not code else [*launching.command()[:1], "-c", code]
    given = {"env": launching.environment(), "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    return subprocess.run(words, text=True, timeout=120, check=False, **given)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize(("name", "value"), [*_KUBERNETES.items(), *_OTHERS.items()])
def test_what_others_set_for_others_is_not_ours(name: str, value: str) -> None:
    assert not surroundings.is_kept(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("STANDFAST_METRICS__PORT", "9464"), ("STANDFAST_METRICS__HOST", "::1"), ("KAFKA_SECURITY_PROTOCOL", "SSL"),
     ("KAFKA_BOOTSTRAP_SERVERS", "a:9092"), ("CUDA_VISIBLE_DEVICES", ""), ("LC_ALL", "C"), ("https_proxy", "x"),
     ("STANDFAST_METRICS_PORT", "9464")],
)  # fmt: skip
def test_what_is_meant_for_us_is_kept(name: str, value: str) -> None:
    """The last is a typing error: it must be refused by name, not dropped as one of Kubernetes' variables."""
    assert surroundings.is_kept(name, value)


def test_kubernetes_variables_are_no_wrong_settings(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in _KUBERNETES.items():
        if name.startswith("STANDFAST_"):
            monkeypatch.setenv(name, value)
    assert state is not None
    load()


def test_our_code_is_found_before_anothers_of_the_same_name(tmp_path: Path) -> None:
    for name in ("models", "drills"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('theirs')")
    (tmp_path / "of_theirs.py").write_text("")
    code = (
        "from standfast.core import surroundings; surroundings.drop_foreign()\n"
        "import models, drills, of_theirs, os, subprocess, sys\n"
        "print(os.environ.get('APP_VERSION'), 'APP_VERSION' in surroundings.DROPPED)\n"
        "subprocess.run([sys.executable, '-P', '-c', 'import models, drills, of_theirs'], check=True)\n"
    )
    path = os.pathsep.join([str(tmp_path), str(surroundings.ROOT)])
    environment = {**os.environ, **_OTHERS, "PYTHONWARNINGS": "", "PYTHONPATH": path}
    done = _run(code=code, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "None True\n"


@pytest.mark.parametrize("words", ["--help", "--version", "status --json", "drill list"])
def test_a_full_disk_behind_stdout_is_one_line(words: str, tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = _run(*words.split(), stdout=full, env={**launching.environment(), "STANDFAST_HOME": str(tmp_path)})
    assert done.returncode == 1
    assert "error: the output cannot be written: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_closed_stdout_is_one_line_and_all_three_closed_is_no_traceback(tmp_path: Path) -> None:
    environment = {**launching.environment(), "STANDFAST_HOME": str(tmp_path)}
    line = " ".join(launching.command("status", "--json"))
    done = subprocess.run(
        ["/bin/sh", "-c", f"{line} >&-"], stderr=subprocess.PIPE, text=True, env=environment, check=False
    )
    assert done.returncode == 1
    assert "the output cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    done = subprocess.run(["/bin/sh", "-c", f"{line} <&- >&- 2>&-"], env=environment, check=False)
    assert done.returncode == 1


def test_signals_that_a_parent_ignored_or_blocked_are_as_usual_again() -> None:
    code = (
        "import signal, subprocess, sys\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN); signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n"
        "from standfast.core.processes import lifeline; lifeline.reset_signals()\n"
        "print(subprocess.run([sys.executable, '-c', 'raise SystemExit(7)']).returncode, flush=True)\n"
        "signal.raise_signal(signal.SIGTERM)\n"
    )
    done = _run(code=code)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "7\n")


@pytest.mark.parametrize("number", [1, 9, 15, *range(signal.SIGRTMIN, signal.SIGRTMAX + 1), 99])
def test_any_signal_has_a_name(number: int) -> None:
    assert signal_name(number)
    assert signal_name(number) in why_it_ended(-number)


@pytest.mark.parametrize("how", ["a file", "a dangling link", "an unknown user", "a circle", "nobody's"])
def test_a_state_folder_that_cannot_be_is_one_line(how: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "file" / "nowhere")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    home = {
        "a file": tmp_path / "file", "a dangling link": tmp_path / "link", "an unknown user": "~nosuchuser/x",
        "a circle": tmp_path / "circle", "nobody's": "/proc/here",
    }[how]  # fmt: skip
    done = _run("status", "--json", env={**launching.environment(), "STANDFAST_HOME": str(home)})
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "set STANDFAST_HOME to a folder" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_given_state_folder_needs_no_home(tmp_path: Path) -> None:
    environment = {name: value for name, value in launching.environment().items() if not name.startswith("XDG_")}
    environment |= {"HOME": "~nosuchuser", "STANDFAST_HOME": str(tmp_path)}
    done = _run("status", "--json", env=environment)
    assert "Traceback" not in done.stderr
    assert '"stopped"' in done.stdout


def test_what_is_in_one_cell_of_a_table_is_found_in_a_pipe() -> None:
    code = (
        "from rich.table import Table\nfrom standfast.commands.options import stdout\n"
        "t = Table(box=None)\n[t.add_column(str(n), overflow='fold') for n in range(4)]\n"
        "t.add_row(*['x' * 70] * 4)\nstdout().print(t)"
    )
    done = _run(code=code, env={**launching.environment(), "COLUMNS": "40"})
    assert " ".join(["x" * 70] * 4) in " ".join(done.stdout.split())
    assert len(done.stdout.splitlines()) == 2
