"""The `standfast` command: a table of sub-commands, each imported only when it is called."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import sys
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from standfast import __version__, standard_streams
from standfast.core import surroundings
from standfast.core.errors import SetupError, StandfastError
from standfast.core.printable import one_line
from standfast.core.processes import lifeline


@dataclass(frozen=True, slots=True)
class Command:
    """One sub-command: its module, the `typer.Typer` in it (or a function that fills one), and its line of help."""

    name: str
    module: str
    attribute: str
    summary: str
    panel: str


_RUN, _USE, _PROVE, _SHOP, _ROLES = "Run it", "Use it", "Prove it", "Your own shop and models", "One role alone"
_HERE, _BENCH = "standfast.commands.", "bench.commands."
ENTRIES = (
    Command("demo", _HERE + "demo", "app", "The whole story on this machine; nothing is left behind.", _RUN),
    Command("up", _HERE + "system", "up_app", "Start the system, with its own Kafka unless one is configured.", _RUN),
    Command("down", _HERE + "system", "down_app", "Stop the system; no request is lost by it.", _RUN),
    Command("status", _HERE + "status", "app", "What runs, who serves which partitions, where the metrics are.", _RUN),
    Command("console", _HERE + "console", "app", "A page to watch the system and to start drills.", _RUN),
    Command("scale", _HERE + "scale", "app", "How many workers there are and why, and another number of them.", _RUN),
    Command("search", _HERE + "ask", "search_app", "Search the shop: one request through the topics.", _USE),
    Command("recommend", _HERE + "ask", "recommend_app", "Products for a user: one request through the topics.", _USE),
    Command("topics", _HERE + "topics", "app", "List the topics and create what is missing.", _USE),
    Command("dead-letters", _HERE + "dead_letters", "app", "What could not be served, and sending it again.", _USE),
    Command("kafka", _HERE + "kafka", "register", "Apache Kafka's own console tools.", _USE),
    Command("drill", _HERE + "drill", "app", "Break the system on purpose and see the verdict.", _PROVE),
    Command("gameday", _HERE + "gameday", "app", "A drill for people, and how long they take.", _PROVE),
    Command("bench", _BENCH + "root", "app", "Measure failover, latency, throughput, startup; beside others.", _PROVE),
    Command("models", _HERE + "models", "app", "Train, list, activate, roll back and verify models.", _SHOP),
    Command("catalogue", _HERE + "data", "catalogue", "Load your own products.", _SHOP),
    Command("interactions", _HERE + "data", "interactions", "Load your own views and purchases.", _SHOP),
    Command("judgements", _HERE + "data", "judgements", "Load which products are wanted for which queries.", _SHOP),
    Command("worker", _HERE + "roles", "worker_app", "Inference workers and their standbys.", _ROLES),
    Command("stream", _HERE + "roles", "stream_app", "The stream processor: profiles and windows.", _ROLES),
    Command("drills", _HERE + "roles", "drills_app", "The drill runner.", _ROLES),
)


class OnDemand(TyperGroup):
    """Stands for a sub-command in the root's help, and imports the real one when it is called."""

    def __init__(self, entry: Command) -> None:
        super().__init__(name=entry.name, help=entry.summary)
        self.entry = entry

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the real command, which handles the call from here on."""
        return self.real().make_context(info_name, args, parent, **extra)

    def real(self) -> Any:
        """The command itself; imports its module."""
        command = getattr(importlib.import_module(self.entry.module), self.entry.attribute)
        if not isinstance(command, typer.Typer):
            fill, command = command, typer.Typer()
            fill(command)
        command.rich_markup_mode = None  # plain help: typer's boxes cost 0.2 s a call
        command._add_completion = False  # noqa: SLF001 - the root has it
        real = typer.main.get_command(command)
        real.name = self.entry.name
        return real


class Root(TyperGroup):
    """The root command; its help groups the sub-commands by panel."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """One section of help for each panel."""
        width = max(len(name) for name in self.commands)
        for panel in dict.fromkeys(entry.panel for entry in ENTRIES):
            with formatter.section(panel):
                rows = [(entry.name.ljust(width), entry.summary) for entry in ENTRIES if entry.panel == panel]
                formatter.write_dl(rows)


app = typer.Typer(
    name="standfast",
    no_args_is_help=True,
    cls=Root,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"standfast {__version__}")
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Search and recommendation served through Apache Kafka.

    They keep answering while parts of them die, and prove it by drills.

    Example: standfast demo
    """


def command() -> Any:
    """The root command with every sub-command in its place."""
    group: Any = typer.main.get_command(app)
    for entry in ENTRIES:
        group.add_command(OnDemand(entry))
    return group


def main() -> NoReturn:
    """Runs the command line and exits with its code: errors raised on purpose are one line on stderr."""
    surroundings.drop_foreign()
    lifeline.reset_signals()
    standard_streams.open_all()
    try:
        code = _run()
        sys.stdout.flush()
    except BrokenPipeError:
        standard_streams.give_up_stdout()
        code = 1
    except OSError as error:
        standard_streams.give_up_stdout()
        code = _say(SetupError(_explained(error)))
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def _run() -> int:
    try:
        command()(prog_name="standfast")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except StandfastError as error:
        return _say(error)
    return 0


def _say(error: StandfastError) -> int:
    """Prints the error as one line on stderr, if stderr is open; returns its exit code."""
    with contextlib.suppress(OSError):
        typer.echo(f"error: {one_line(' '.join(str(error).split()))}", err=True)
    return error.exit_code


def _explained(error: OSError) -> str:
    """An OSError that no command handled, as one line with what to check."""
    reason = error.strerror or str(error) or type(error).__name__
    if error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {reason}; check that it is there, that it may be used, and its disk"
    if error.errno in {errno.ENOSPC, errno.EBADF, errno.EIO, errno.EDQUOT, errno.EFBIG}:
        return f"the output cannot be written: {reason}; check where stdout goes"
    return f"{type(error).__name__}: {reason}"
