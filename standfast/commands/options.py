"""Options that several commands share, and what they all do first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from standfast.settings import Settings

Config = Annotated[
    Path | None, typer.Option("--config", help="The settings file; else standfast.toml here or in the state folder.")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout, for programs.")]
Workers = Annotated[
    str | None,
    typer.Option("--workers", metavar="N|auto", help="Workers per service; auto: by load.", show_default=False),
]
Standbys = Annotated[int | None, typer.Option("--standbys", help="Warm standbys per service.", show_default=False)]


def settings_from(
    config: Path | None, flags: dict[str, dict[str, object]] | None = None, role: str = "cli"
) -> Settings:
    """The settings of this call, logging set up by them; raises SettingsError."""
    from standfast import logs, settings

    loaded = settings.load(config, flags)
    logs.configure(loaded.log, role)
    if loaded.kafka.client:
        from standfast import clients

        clients.check(loaded)
    return loaded


def stdout() -> Console:
    """Where results go; plain when it is no terminal or NO_COLOR is set."""
    from rich.console import Console

    return Console(highlight=False)


def stderr() -> Console:
    """Where progress and notes go."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)
