"""One bit of one weight is flipped in the memory of one worker: it has to notice, and to answer nothing more."""

from __future__ import annotations

import time

from drills.evidence.history import Fault
from drills.evidence.verdict import Finding
from drills.faults.injector import Kind
from drills.faults.model_fault import ModelFault
from drills.faults.workers import TARGETS
from drills.params import Param


class ModelBitFlip(ModelFault):
    """The worker flips the highest bit of the exponent of a weight that the seed chooses, in its own memory.

    If nobody notices within `at_most_s`, it flips the bit back, and the system did not hold.
    """

    name = "model-bit-flip"
    kind = "bit_flip"
    done = "has a weight with a flipped bit"
    _found_s: float | None = None
    _at = 0.0

    @property
    def amount(self) -> int:
        """The seed."""
        return self.aim.seed

    def inject(self) -> Fault:
        """Orders the flip."""
        fault = super().inject()
        self._at = fault.at
        return fault

    def lasted(self) -> bool:
        """Whether the worker has noticed and ended, or the order has."""
        self._look()
        return super().lasted()

    def response(self) -> Finding:
        """Whether the worker noticed, and how long that took."""
        self._look()
        if self._found_s is not None:
            return Finding("passed", f"the flipped bit was found {self._found_s * 1000:.0f} ms after it was flipped")
        looked_s = time.monotonic() - self._at
        if self.is_dead:
            return Finding("unknown", f"{self.target.named} has ended, but has not said that it found the flipped bit")
        return Finding("failed", f"nobody found the flipped bit in {looked_s:.1f} s; see workers.check_weights_s")

    def undone(self) -> Finding:
        """As for every model, and whether a worker that lives on has flipped the bit back, seen by its checksums."""
        finding = super().undone()
        if finding.check != "passed" or self.is_dead:
            return finding
        with self.disturbance() as disturbance:
            if disturbance.suffered and not disturbance.is_taken_back:
                return Finding("failed", f"the bit of {self.target.named} is still flipped")
        return Finding("passed", f"{finding.text}; its weights are again those that were loaded")

    def _look(self) -> None:
        """The file is the next process's soon after this one has ended, so the moment is read while it is there."""
        with self.disturbance() as disturbance:
            if self._found_s is None and (found_at := disturbance.found_at) is not None:
                self._found_s = found_at - self._at


MODEL_BIT_FLIP = Kind(
    "model-bit-flip",
    "one bit of one weight in a worker's memory is flipped",
    ModelBitFlip,
    targets=TARGETS,
    undo="the worker flips the bit back, unless it has ended; the order ends by itself after at_most_s",
    params=(Param("at_most_s", 30.0, "the bit is flipped back after so long, if nobody has noticed by then", 1, 300),),
    figure=None,
)
