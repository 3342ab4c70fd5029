"""What may be set in a drill: its type, its limits, its default."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from schemas.records import Scalar
from standfast.core.errors import DrillRejected
from standfast.core.services import NAMES

Value = int | float | str
_MOST_NAMES = 12  # in an error message
_LONGEST_TEXT = 2000  # characters of a text parameter, such as `queries`


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter. Its type is that of `default`; where that is a float, a whole number is accepted too."""

    name: str
    default: Value
    about: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """Its type in words."""
        return {int: "whole number", float: "number", str: "text"}[type(self.default)]

    @property
    def limits(self) -> str:
        """The allowed values, in words."""
        if self.choices:
            return " or ".join(self.choices)
        return f"{self.minimum:g} to {self.maximum:g}" if self.minimum is not None else self.kind

    def checked(self, value: Scalar) -> Value:
        """The value, converted to the default's type; raises DrillRejected for a wrong type or one out of limits."""
        message = f"{self.name} = {value!r:.200}: give {'one of' if self.choices else 'a'} {self._wanted()}"
        if isinstance(self.default, str):
            if not isinstance(value, str) or (self.choices and value not in self.choices):
                raise DrillRejected(message)
            if len(value) > _LONGEST_TEXT:
                raise DrillRejected(f"{self.name} has {len(value)} characters; give at most {_LONGEST_TEXT}")
            return value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise DrillRejected(message)
        if isinstance(self.default, int) and value != int(value if abs(value) < 1e15 else 0):
            raise DrillRejected(message)
        if self.minimum is not None and self.maximum is not None and not self.minimum <= value <= self.maximum:
            raise DrillRejected(message)
        return type(self.default)(value)

    def parsed(self, text: str) -> Scalar:
        """The scalar that a command-line text stands for; not validated, `checked` does that."""
        if isinstance(self.default, str):
            return text
        try:
            return int(text)
        except ValueError:
            try:
                return float(text)
            except ValueError:
                return text

    def _wanted(self) -> str:
        return self.limits if self.choices else f"{self.kind} ({self.limits})"


# The parameters of every drill.
COMMON = (
    Param("service", "search", "whose part of the system is struck, and is asked meanwhile", choices=NAMES),
    Param("rate", 40.0, "requests per second the drill itself sends, over all partitions", 1, 2000),
    Param("before_s", 3.0, "seconds of load before the fault; all of it must be answered", 1, 120),
    Param("after_s", 5.0, "seconds of load after the recovery", 1, 300),
    Param(
        "deadline_ms",
        0.0,
        "each request's deadline, so long after it is sent (header deadline-ms); 0: none",
        0,
        300_000,
    ),
    Param("recover_within_s", 30.0, "how long recovery is waited for", 0.5, 300),
    Param("answer_within_s", 10.0, "how long the last answers are waited for", 0.5, 120),
    Param("restore_within_s", 60.0, "how long it is waited until the fault is shown to be undone", 0.5, 300),
    Param("rto_ms", 5000.0, "objective: every partition that was hit answers again within", 1, 300_000),
    Param("p99_ms", 2000.0, "objective: p99 of the answers before and after", 1, 300_000),
    Param("error_budget", 0.0, "objective: the share of answers that may be other than ok", 0, 1),
    Param("queries", "", "own search words or user ids for the load, separated by |; empty: the sample shop's"),
)


def param_named(name: str, params: Iterable[Param], whose: str) -> Param:
    """The parameter of that name; raises DrillRejected, naming the nearest one of `whose`."""
    known = {param.name: param for param in params}
    if name not in known:
        raise DrillRejected(f"{whose} has no param {name!r}{nearest(name, list(known))}")
    return known[name]


def checked(values: Mapping[str, Scalar], params: tuple[Param, ...], whose: str) -> dict[str, Value]:
    """The value of every parameter, its default where none is given; raises DrillRejected for a wrong name or value."""
    given = {name: param_named(name, params, whose).checked(value) for name, value in values.items()}
    return {param.name: param.default for param in params} | given


def nearest(wrong: str, known: list[str]) -> str:
    """The end of an error message: the name that was probably meant, or the names that there are, a dozen at most."""
    matches = difflib.get_close_matches(wrong, known, n=1)
    more = f" and {len(known) - _MOST_NAMES} more" if len(known) > _MOST_NAMES else ""
    there_are = f"; there are: {', '.join(known[:_MOST_NAMES]) or 'none'}{more}"
    return f"; did you mean {matches[0]}?" if matches else there_are
