"""`standfast demo`."""

from __future__ import annotations

import time

import typer

from standfast.commands.options import stderr, stdout

app = typer.Typer()


@app.command("demo")
def demo() -> None:
    """The whole story on this machine: searches, recommendations, a worker killed under load, the verdict.

    Starts its own system in a temporary folder and leaves nothing behind. Exit code 1 if a promise was broken.

    Example: standfast demo
    """
    from standfast.demo.promises import table
    from standfast.demo.stage import demo_system
    from standfast.demo.story import heading, run_chapters

    console, began = stdout(), time.monotonic()
    heading(console, "1. A system of its own")
    console.print(
        "Apache Kafka, two search workers and two recommendation workers with a warm standby for each pair, a stream "
        "processor and a drill runner start on this machine. Requests and answers are records on Kafka topics."
    )
    with demo_system(
        lambda detail: console.print(f"  {detail}", markup=False, style="dim"),
        lambda lines: stderr().print(lines, markup=False, soft_wrap=True),
    ):
        console.print(f"[bold]ready[/] after {time.monotonic() - began:.0f} s")
        promises = run_chapters(console)
        console.print("\nStopping.")
    heading(console, f"In {time.monotonic() - began:.0f} s")
    console.print(table(promises))
    if not all(promise.kept for promise in promises):
        raise typer.Exit(1)
    console.print(
        "\nStart your own with `standfast up --detach`; then try `standfast search` and `standfast drill run`."
    )
