"""Options that several commands share, and how commands load settings and print."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from standfast.core.settings import Settings

Config = Annotated[
    Path | None, typer.Option("--config", help="The settings file; else standfast.toml here or in the state folder.")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout, for programs.")]
Workers = Annotated[
    str | None,
    typer.Option("--workers", metavar="N|auto", help="Workers per service; auto: by load.", show_default=False),
]
Standbys = Annotated[int | None, typer.Option("--standbys", help="Warm standbys per service.", show_default=False)]
_UNFOLDED = 5000  # columns: wider than any table


def settings_from(
    config: Path | None, flags: dict[str, dict[str, object]] | None = None, role: str = "cli"
) -> Settings:
    """The settings of this call; also sets up logging. Raises SettingsError."""
    from standfast.core import logs, settings

    loaded = settings.load(config, flags)
    logs.configure(loaded.log, role)
    if loaded.kafka.client:
        from standfast.core import clients

        clients.check(loaded)
    return loaded


def located_settings(config: Path | None) -> Settings:
    """The settings of this call with the Kafka of the running system, where none is configured.

    Raises SettingsError, and ClusterError if no Kafka is configured or running.
    """
    from standfast.core.processes.locating import located

    return located(settings_from(config))


def tell_wrong_settings() -> None:
    """Warns on stderr of wrong settings, for commands that need no settings and so go on."""
    from standfast.core import clients, settings
    from standfast.core.errors import SettingsError
    from standfast.core.printable import printable

    try:
        loaded = settings.load()
        if loaded.kafka.client:
            clients.check(loaded)
    except SettingsError as error:
        typer.echo(
            f"warning: nothing would start with these settings: {printable(' '.join(str(error).split()))}", err=True
        )


def stdout() -> Console:
    """The console for results; plain text when stdout is no terminal or NO_COLOR is set."""
    return _console(to_stderr=False)


def stderr() -> Console:
    """The console for progress and notes."""
    return _console(to_stderr=True)


def _console(*, to_stderr: bool) -> Console:
    """A console as wide as the terminal; without a terminal no cell is folded, so that `grep` finds its text."""
    from standfast.commands.terminal import SafeConsole

    console = SafeConsole(stderr=to_stderr, highlight=False)
    if not console.is_terminal:
        console.width = _UNFOLDED
    return console


def print_json(value: object) -> None:
    """Writes the value to stdout as JSON, with characters that a terminal would obey escaped."""
    import msgspec

    from standfast.core.printable import escaped_json

    typer.echo(escaped_json(msgspec.json.encode(value).decode()))


def finite(value: float | None) -> float | None:
    """The number itself; raises BadParameter for NaN and infinities, which `float` options accept."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no number to work with; give a finite one")
    return value
