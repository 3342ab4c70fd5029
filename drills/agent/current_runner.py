"""Which drill runner is obeyed: the one that took over last."""

from __future__ import annotations


class CurrentRunner:
    """The runners in the order of their first sign of life; one that has been replaced is not heard any more.

    A runner that was stopped, replaced and continued may still write signs of life and orders until it notices.
    """

    def __init__(self) -> None:
        self.current = ""
        self._replaced: set[str] = set()

    def heard(self, runner: str) -> bool:
        """Notes a sign of life; returns whether it is the current runner's."""
        if runner in self._replaced:
            return False
        if runner != self.current:
            self._replaced.add(self.current)
            self.current = runner
        return True

    def is_current(self, runner: str) -> bool:
        """Whether this is the runner that took over last."""
        return runner == self.current
