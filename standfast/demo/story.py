"""The demo's chapters in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console
from rich.rule import Rule

from console.keys import link
from standfast.caller import Caller
from standfast.core import status
from standfast.core.processes.locating import located
from standfast.core.settings import load
from standfast.demo import asking, killing
from standfast.demo.promises import Promise, promises_of


@dataclass(frozen=True, slots=True)
class Chapter:
    """One step of the demo, with its title and introduction."""

    title: str
    words: str
    step: Callable[[], list[Promise]]


def run_chapters(console: Console) -> list[Promise]:
    """Runs every chapter, also after one that failed; returns the promises of all."""
    settings = located(load())
    promises: list[Promise] = []
    with Caller(settings) as caller:
        chapters = (
            Chapter(
                "Three searches",
                "Sent by Kafka's own console producer, as any program could.",
                lambda: asking.searches(caller, console),
            ),
            Chapter(
                "Two customers",
                "What each may want next, learnt from what everybody bought before.",
                lambda: asking.two_customers(caller, console),
            ),
            Chapter(
                "A purchase",
                "An event on the topic interactions; the stream processor updates the customer's profile.",
                lambda: asking.a_purchase(caller, console),
            ),
            Chapter(
                "A worker dies",
                "One word on the topic drills.control: a worker is killed (SIGKILL) under load. Its warm standby takes "
                "over, and every request sent meanwhile has to be answered exactly once.",
                lambda: killing.a_worker_dies(settings, console),
            ),
        )
        told = False
        for number, chapter in enumerate(chapters, 2):
            heading(console, f"{number}. {chapter.title}")
            console.print(chapter.words)
            told = told or _tell_where_to_watch(console)
            promises += promises_of(chapter.title, chapter.step, console)
    return promises


def _tell_where_to_watch(console: Console) -> bool:
    """Prints the link of the console, which is started last; False if it is not there yet."""
    running = status.read()
    if running is None or not running.console_url:
        return False
    console.print(f"To watch it in a browser: {link(running.console_url)}", style="dim", markup=False, soft_wrap=True)
    return True


def heading(console: Console, text: str) -> None:
    """Prints a chapter's heading."""
    console.print()
    console.print(Rule(f"[bold]{text}", align="left"), width=min(console.width, 100))
