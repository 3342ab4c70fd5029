"""The command line: its help, its exit codes, and one line on stderr for each error."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from standfast import cli
from standfast.core.processes import launching

_WITHIN_S = 120


def _walked(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    real = command.real() if isinstance(command, cli.OnDemand) else command
    yield path, real
    for name, child in getattr(real, "commands", {}).items():
        yield from _walked(child, f"{path} {name}")


COMMANDS = dict(_walked(cli.command(), "standfast"))


def standfast(*arguments: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the command as a shell would, with `home` as its state folder."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("STANDFAST_", "KAFKA_"))}
    return subprocess.run(
        launching.command(*arguments),
        capture_output=True,
        text=True,
        timeout=_WITHIN_S,
        check=False,
        cwd=home,
        env={
            **inherited,
            "PYTHONPATH": launching.environment()["PYTHONPATH"],
            "STANDFAST_HOME": str(home),
            **environment,
        },
    )


@pytest.mark.parametrize("path", [path for path, command in COMMANDS.items() if not hasattr(command, "commands")])
def test_every_command_has_help_and_an_example_of_itself(path: str) -> None:
    shown = COMMANDS[path].help or ""
    assert shown.strip(), f"{path} has no help"
    assert f"Example: {path}" in shown, f"{path} has no example that begins with it"


@pytest.mark.parametrize("path", list(COMMANDS))
def test_every_option_has_help(path: str) -> None:
    options = [option for option in COMMANDS[path].params if option.param_type_name == "option"]
    assert all(option.help for option in options), [option.name for option in options if not option.help]


def test_the_contract_commands_are_there() -> None:
    promised = {
        "demo", "up", "down", "status", "search", "recommend", "drill list", "drill show", "drill run", "drill report",
        "models train", "models list", "models show", "models activate", "models rollback", "models verify",
        "models export", "models import",
        "catalogue load", "interactions load", "kafka", "topics", "worker", "stream", "drills",
    }  # fmt: skip
    assert {f"standfast {name}" for name in promised} <= set(COMMANDS)


def test_help_does_not_import_what_its_commands_need(tmp_path: Path) -> None:
    program = (
        "import sys; sys.argv = ['standfast', '--help']\n"
        "from standfast.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'pydantic', 'confluent_kafka', 'faust', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    words = [*launching.command()[:2], "-c", program]
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=_WITHIN_S, check=False, env=launching.environment()
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--no-such-option"], 2, "No such option"),
        (["serch", "heart"], 2, "Did you mean 'search'"),
        (["search"], 2, "TEXT"),
        (["search", "heart"], 1, "standfast up --detach"),
        (["topics"], 1, "KAFKA_BOOTSTRAP_SERVERS"),
        (["worker", "serach"], 2, "there are search, recommend"),
        (["up", "--workers", "0"], 2, "search.workers = '0'"),
        (["up", "--config", "nowhere.toml"], 2, "nowhere.toml: no such file"),
        (["down"], 0, "Nothing is running."),
        (["status"], 1, "standfast up --detach"),
        (["drill", "show", "worker-kil"], 2, "did you mean worker-kill?"),
        (["status", "--all-hosts"], 1, "standfast up --detach"),
    ],
)
def test_exit_codes_and_what_is_said(arguments: list[str], code: int, message: str, tmp_path: Path) -> None:
    done = standfast(*arguments, home=tmp_path)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_an_error_is_one_line(tmp_path: Path) -> None:
    done = standfast("search", "heart", home=tmp_path)
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


def test_an_unknown_setting_names_key_and_remedy(tmp_path: Path) -> None:
    done = standfast("search", "heart", home=tmp_path, STANDFAST_SEARCH__WORKRS="3")
    assert done.returncode == 2
    assert done.stderr == "error: search.workrs: no such setting; did you mean workers?\n"


@pytest.mark.parametrize(("command", "code"), [("status", 1), ("down", 0), ("scale", 1)])
@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ("STANDFAST_SEARCH__WORKRS", "search.workrs: no such setting; did you mean workers?"),
        ("KAFKA_SOCKET_TIMEOUT_MZ", "KAFKA_<NAME>"),
    ],
)
def test_what_needs_no_settings_goes_on_and_says_what_is_wrong_with_them(
    command: str, code: int, variable: str, message: str, tmp_path: Path
) -> None:
    done = standfast(command, home=tmp_path, **{variable: "3"})
    assert (done.returncode, done.stdout) == (code, "")
    warning, after = done.stderr.splitlines()
    assert warning.startswith("warning: nothing would start with these settings: ")
    assert message in warning
    assert "running" in after


def test_a_wrong_settings_file_is_told_of_too(tmp_path: Path) -> None:
    (tmp_path / "standfast.toml").write_text("[search]\nworkers = 0\n[recommend]\nworkrs = 1\n")
    done = standfast("down", home=tmp_path)
    assert done.returncode == 0
    assert "search.workers" in done.stderr
    assert len(done.stderr.splitlines()) == 2


def test_status_of_nothing_is_json_too(tmp_path: Path) -> None:
    done = standfast("status", "--json", home=tmp_path)
    assert done.returncode == 1
    assert json.loads(done.stdout) == {
        "state": "stopped", "bootstrap_servers": "", "metrics_url": "", "host": "", "workers": [], "roles": [],
        "topics": [], "services": [], "takeovers": [], "console_url": "",
    }  # fmt: skip


def test_a_reader_that_goes_away_is_no_traceback(tmp_path: Path) -> None:
    words = " ".join(launching.command("--help"))
    done = subprocess.run(
        ["/bin/sh", "-c", f"({words}; echo code $? >&2) | true"],
        capture_output=True, text=True, timeout=_WITHIN_S, check=False, env=launching.environment(), cwd=tmp_path,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_version(tmp_path: Path) -> None:
    done = standfast("--version", home=tmp_path)
    assert (done.returncode, done.stdout) == (0, "standfast 0.1.0\n")
