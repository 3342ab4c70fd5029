"""`standfast kafka`."""

from __future__ import annotations

from typing import Annotated

import typer

from standfast.kafka.tools import TOOLS, kafka_tool


def register(app: typer.Typer) -> None:
    """Adds the command; everything after the tool's name, `--help` too, goes to the tool."""
    pass_on = {"ignore_unknown_options": True, "allow_interspersed_args": False}
    app.command("kafka", context_settings=pass_on, epilog=f"Tools: {', '.join(TOOLS)}.")(kafka)


def kafka(
    tool: Annotated[str, typer.Argument(help="The tool, as in kafka-TOOL.sh.", show_default=False)],
    args: Annotated[
        list[str] | None, typer.Argument(help="The tool's own options; --help lists them.", show_default=False)
    ] = None,
) -> None:
    """Run one of Apache Kafka's own console tools.

    It connects to the running system, or to KAFKA_BOOTSTRAP_SERVERS, unless its options say otherwise.

    Example: standfast kafka console-consumer --topic search.results --from-beginning
    """
    kafka_tool(tool, args or [])
