"""Progress of long work, on stderr: bars on a terminal, one line a phase elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from standfast.commands.options import stderr


class Bars:
    """One bar per phase; `models.training` reports to it."""

    def __init__(self, progress: Progress, console: Console) -> None:
        self._progress, self._console = progress, console
        self._task: TaskID | None = None

    def phase(self, name: str, total: int | None = None) -> None:
        """Ends the last bar and begins the next; `total` in steps, None if unknown."""
        self._end()
        self._task = self._progress.add_task(name, total=total)
        if not self._console.is_terminal:
            self._console.print(name)

    def step(self, count: int) -> None:
        """Advances the bar by `count` steps."""
        if self._task is not None:
            self._progress.advance(self._task, count)

    def _end(self) -> None:
        for task in self._progress.tasks:
            if not task.finished:
                self._progress.update(task.id, total=task.total or 1, completed=task.total or 1)


@contextmanager
def shown() -> Iterator[Bars]:
    """Shows bars while the block runs."""
    console = stderr()
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield Bars(progress, console)
