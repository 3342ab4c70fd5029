"""`standfast topics`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from standfast.commands.options import AsJson, Config, located_settings, stderr, stdout

if TYPE_CHECKING:
    from standfast.topics import TopicState

app = typer.Typer()
_HOUR_MS = 3_600_000
_CHANGES_PENDING = 2
_BY_HAND = "set kafka.partitions to as many as there are, or add brokers for the copies (kafka.replication)"
_SHOWN = ("topic", "partitions", "replication", "retention", "state", "key")


@app.command("topics")
def topics(
    plan: Annotated[bool, typer.Option("--plan", help="Only show; exit code 2 when topics are missing.")] = False,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Compare every topic with the topic table, and create what is missing.

    A topic that differs is reported and left as it is: changing it would move keys or drop records.

    Example: standfast topics --plan
    """
    from confluent_kafka.admin import AdminClient

    from standfast import topics as table
    from standfast.core import clients

    settings = located_settings(config)
    admin = AdminClient(clients.base(settings, "standfast-topics"))
    states = (table.plan if plan else table.apply)(admin, settings.kafka)
    missing = "missing" if plan else "created"
    rows = [_row(state, missing) for state in states]
    if as_json:
        typer.echo(json.dumps(rows))
    else:
        _print(rows)
    for state in states:
        if state.differs:
            remedy = " && ".join(state.remedy()) or _BY_HAND
            stderr().print(f"{state.name}: {'; '.join(state.differs)}; mend it: {remedy}", soft_wrap=True, markup=False)
    if plan and any(state.state == "missing" for state in states):
        raise typer.Exit(_CHANGES_PENDING)


def _row(state: TopicState, missing: str) -> dict[str, object]:
    topic = state.topic
    return {
        "topic": state.name,
        "partitions": state.actual_partitions or state.partitions,
        "replication": state.actual_replication or state.replication,
        "retention": "compacted" if topic.compacted else _span(topic.retention_ms),
        "key": topic.key,
        "state": missing if state.state == "missing" else state.state,
        "about": topic.about,
    }


def _span(milliseconds: int) -> str:
    hours = milliseconds // _HOUR_MS
    return f"{hours} h" if hours % 24 else f"{hours // 24} d"


def _print(rows: list[dict[str, object]]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in _SHOWN:
        table.add_column(column, no_wrap=True, justify="right" if column in {"partitions", "replication"} else "left")
    for row in rows:
        table.add_row(*(str(row[column]) for column in _SHOWN))
    stdout().print(table)
