"""`standfast dead-letters`: what could not be served, why, and sending it again once the cause is mended."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Annotated

import typer

from standfast.commands.options import AsJson, Config, located_settings, print_json, stderr, stdout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schemas.dead_letters import Deed
    from standfast.core.settings import Settings
    from standfast.dead_letters.letters import Letter, Waiting

app = typer.Typer(no_args_is_help=True, help="What could not be served, and sending it again.")
Topic = Annotated[str, typer.Argument(metavar="TOPIC", help="Such as search.requests.dlq.")]
Ids = Annotated[
    list[str] | None, typer.Argument(metavar="[ID]…", help="Letters by partition and offset, such as 0-17.")
]
Reason = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", help="Those whose reason has this in it.", show_default=False)
]
All = Annotated[bool, typer.Option("--all", help="All of the topic that wait.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say which.")]
_WIDEST = 100  # characters of a reason in the table


@app.command("list")
def list_letters(
    topic: Annotated[str | None, typer.Argument(metavar="[TOPIC]", help="One topic; else how many each has.")] = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """The dead letters that nobody has sent again or given up, each with its reason. Values are not shown.

    Example: standfast dead-letters list search.requests.dlq
    """
    from standfast.dead_letters.letters import sources, topic_named

    settings = located_settings(config)
    if topic is not None:
        waiting = _waiting(settings, topic_named(topic, settings))
        print_json(waiting.letters) if as_json else _print(waiting)
        return
    counts = {name: _waiting(settings, name) for name in sorted(sources(settings))}
    if as_json:
        print_json({name: len(waiting.letters) for name, waiting in counts.items()})
        return
    for name, waiting in counts.items():
        stdout().print(f"{name}: {len(waiting.letters)} wait, {waiting.done} were sent again or given up")


@app.command("resend")
def resend(
    topic: Topic,
    ids: Ids = None,
    reason: Reason = None,
    every: All = False,
    dry_run: DryRun = False,
    config: Config = None,
) -> None:
    """Send dead letters to the topic that they came from: each once, also if this command is killed and begun again.

    Records keep key, value, partition and headers, but for `deadline-ms`, which has passed. Letters that a drill made,
    and those whose value was too large to be kept, stay.

    Example: standfast dead-letters resend search.requests.dlq --reason "schema registry"
    """
    _work(topic, "sent again", ids, reason, every=every, dry_run=dry_run, config=config)


@app.command("give-up")
def give_up(
    topic: Topic,
    ids: Ids = None,
    reason: Reason = None,
    every: All = False,
    dry_run: DryRun = False,
    config: Config = None,
) -> None:
    """Take dead letters off the list without sending them; their records stay in the topic until it forgets them.

    Example: standfast dead-letters give-up search.requests.dlq 0-17 0-18
    """
    _work(topic, "given up", ids, reason, every=every, dry_run=dry_run, config=config)


def _work(
    name: str, deed: Deed, ids: list[str] | None, reason: str | None, *, every: bool, dry_run: bool, config: Config
) -> None:
    from standfast.commands.drill_safety import login
    from standfast.dead_letters.letters import topic_named
    from standfast.dead_letters.sending_again import SendingAgain

    settings = located_settings(config)
    topic = topic_named(name, settings)
    _check_choice(ids, reason, every=every)
    if dry_run:
        for letter in _chosen(_waiting(settings, topic).letters, deed, ids, reason):
            stdout().print(f"{letter.id}  {_shown(letter.reason)}")
        return
    work = SendingAgain(settings, topic, login())
    done = 0
    try:
        chosen = _chosen(work.waiting(), deed, ids, reason)
        for done in work.work({letter.place for letter in chosen}, deed):
            stderr().print(f"{done} of {len(chosen)} {deed}")
    finally:
        work.close()
    stdout().print(f"{done} {deed}")


def _check_choice(ids: list[str] | None, reason: str | None, *, every: bool) -> None:
    from standfast.core.errors import UsageError

    if sum((bool(ids), reason is not None, every)) != 1:
        raise UsageError("say which: IDs as `dead-letters list TOPIC` shows them, or --reason TEXT, or --all")


def _chosen(letters: Sequence[Letter], deed: Deed, ids: list[str] | None, reason: str | None) -> list[Letter]:
    """Those meant, but for those that cannot or should not be sent again; raises UsageError where there is none."""
    from standfast.core.errors import UsageError
    from standfast.dead_letters.letters import place_named

    meant = [letter for letter in letters if reason is None or reason.casefold() in letter.reason.casefold()]
    if ids:
        wanted, there = set(map(place_named, ids)), {letter.place for letter in letters}
        if absent := sorted(wanted - there):
            named = ", ".join(f"{partition}-{offset}" for partition, offset in absent)
            raise UsageError(f"no such dead letter waits: {named}; see `standfast dead-letters list`")
        meant = [letter for letter in letters if letter.place in wanted]
    if deed == "given up":
        chosen = meant
    else:
        chosen = [letter for letter in meant if not (letter.left_out or letter.of_drill)]
        _tell_left([letter for letter in meant if letter.left_out], "their values were too large to be kept")
        _tell_left([letter for letter in meant if letter.of_drill and not letter.left_out], "drills wrote them")
    if not chosen:
        raise UsageError("there is no such dead letter that waits; see `standfast dead-letters list TOPIC`")
    return chosen


def _tell_left(letters: list[Letter], why: str) -> None:
    if letters:
        stderr().print(f"not sent again, because {why}: {', '.join(letter.id for letter in letters[:20])}")


def _waiting(settings: Settings, topic: str) -> Waiting:
    from standfast.dead_letters.letters import Letters

    letters = Letters(settings, topic)
    try:
        return letters.waiting()
    finally:
        letters.close()


def _print(waiting: Waiting) -> None:
    from datetime import datetime

    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("id", "set aside (UTC)", "from", "by", "bytes", "why"):
        table.add_column(column, no_wrap=True, justify="right" if column == "bytes" else "left")
    for letter in waiting.letters:
        at = datetime.fromtimestamp(letter.at / 1000, UTC)
        source = "{} {} at {}".format(*letter.source)
        size = f"{letter.size:,}" if not letter.left_out else "left out"
        why = ("(a drill's) " if letter.of_drill else "") + _shown(letter.reason)
        table.add_row(letter.id, f"{at:%Y-%m-%d %H:%M:%S}", Text(source), Text(letter.worker), size, Text(why))
    stdout().print(table)
    if waiting.strange:
        stderr().print(f"{waiting.strange} records of the topic are no dead letters of Standfast's")


def _shown(reason: str) -> str:
    from standfast.core.printable import one_line

    return one_line(reason)[:_WIDEST]
