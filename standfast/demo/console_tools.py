"""Sends lines with Kafka's own console producer, and prints the commands a reader would type for it."""

from __future__ import annotations

import subprocess

from rich.console import Console
from rich.markup import escape

from standfast.core.errors import ClusterError
from standfast.core.processes import launching

_WITHIN_S = 60.0


def produce(topic: str, lines: list[str], console: Console) -> None:
    """Sends each line as a record of the topic; raises ClusterError if the console producer fails."""
    tool = ("kafka", "console-producer", "--topic", topic)
    for line in lines:
        console.print(f"[dim]$ echo '{escape(line)}' | standfast {' '.join(tool)}[/]", soft_wrap=True)
    text = "".join(f"{line}\n" for line in lines)
    try:
        done = subprocess.run(
            launching.command(*tool), input=text, capture_output=True, text=True, timeout=_WITHIN_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise ClusterError(f"Kafka's console producer took longer than {_WITHIN_S:g} s for {topic}") from None
    if done.returncode:
        errors = done.stderr.strip().splitlines() or ["it said nothing"]
        raise ClusterError(f"Kafka's console producer failed for {topic} ({done.returncode}): {errors[-1]}")
