"""`standfast drill report | verify`: what past drills found, as a page and for programs, and whether a page is true."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from standfast.commands.options import AsJson, Config, located_settings, print_json, stderr, stdout

if TYPE_CHECKING:
    from drills.reports.report import Story
    from drills.reports.verifying import Verified
    from standfast.core.settings import Settings

_COLOURS = {"confirmed": "green", "refused": "red", "unknown": "yellow"}


def report(
    drill_id: Annotated[
        str | None,
        typer.Argument(
            metavar="[DRILL_ID]", help="A drill, or a campaign and its drills; else all.", show_default=False
        ),
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write one page that holds its own evidence.")] = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="Write JUnit XML, for CI.")] = None,
    markdown: Annotated[Path | None, typer.Option("--markdown", help="Write Markdown, for a pull request.")] = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """What past drills found, read from the outcome stream.

    Example: standfast drill report --html drills.html
    """
    from standfast.core.errors import DrillError

    past = _stories(located_settings(config), drill_id)
    if not past:
        wanted = f"no drill {drill_id} is" if drill_id else "no drill is"
        raise DrillError(f"{wanted} in the outcome stream; run one: standfast drill run worker-kill")
    if html is not None:
        from drills.reports.page import page

        _write(html, page(past), "html")
    if junit is not None:
        from drills.reports.junit import junit_xml

        _write(junit, junit_xml(past), "junit")
    if markdown is not None:
        from drills.reports.markdown import markdown_text

        _write(markdown, markdown_text(past), "markdown")
    if as_json:
        print_json([story.last for story in past])
    elif not (html or junit or markdown):
        _print(past, drill_id)


def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A page of `standfast drill report --html`.")],
    as_json: AsJson = False,
) -> None:
    """Whether a report is as it was written: its verdicts are computed anew from the evidence inside it.

    Exit codes: 0 confirmed, 1 the file was changed or its verdicts do not follow, 2 it cannot be told of every drill.

    Example: standfast drill verify drills.html
    """
    from drills.reports.verifying import CODES, verified
    from standfast.core.errors import DrillUsageError

    try:
        found = verified(file.read_bytes())
    except OSError as error:
        raise DrillUsageError(f"{file} cannot be read: {error.strerror}") from None
    if as_json:
        print_json(found)
    else:
        _print_verified(found)
    if code := CODES[found.trust]:
        raise typer.Exit(code)


def _print_verified(found: Verified) -> None:
    from rich.text import Text

    from standfast.core.printable import one_line

    stdout().print(Text(f" {found.trust.upper()} ", f"bold reverse {_COLOURS[found.trust]}"))
    for reason in found.reasons:
        stdout().print(Text(one_line(reason)))
    for drill in found.drills:
        line = f"{drill.trust:<9}  {one_line(drill.drill_id)}  {drill.verdict}  {one_line(drill.reason)}"
        stdout().print(Text(line, _COLOURS[drill.trust]))


def _print(past: list[Story], drill_id: str | None) -> None:
    from drills.reports.campaign_table import campaign_rows, campaign_table
    from drills.reports.report import overview, verdict_table

    if drill_id is None:
        stdout().print(overview(past), "", verdict_table(past[-1].last), sep="\n")
        return
    for story in past:
        if story.drill_id == drill_id:
            stdout().print(verdict_table(story.last))
    if members := [story for story in past if story.drill_id != drill_id]:
        stdout().print("", campaign_table(campaign_rows(members)), sep="\n")


def _write(path: Path, text: str, option: str) -> None:
    from standfast.core.errors import DrillError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DrillError(
            f"the report cannot be written to {path} ({error.strerror}); give another --{option}"
        ) from None
    stderr().print(f"written: {path}")


def _stories(settings: Settings, drill_id: str | None) -> list[Story]:
    """All drills; those of one id, and of the campaign of that id its drills after it."""
    from drills.control.outcomes import Outcomes
    from drills.reports.campaign_table import members_of
    from drills.reports.report import stories
    from schemas.codec import Codec

    outcomes = Outcomes(settings, Codec(), "standfast-drill-report")
    try:
        events = [outcome.event for outcome in outcomes.from_the_start()]
    finally:
        outcomes.close()
    past = stories(events)
    if drill_id is None:
        return past
    return [story for story in past if story.drill_id == drill_id] + members_of(drill_id, past)
