"""Every float option of every command refuses NaN and infinity."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer

from standfast.cli import OnDemand, command


def floats(entry: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """All float options of this command and its sub-commands: name, and command and option."""
    real = entry.real() if isinstance(entry, OnDemand) else entry
    for option in real.params:
        if option.type_descriptor.annotation is float:
            yield " ".join((*path, option.opts[0])), (real, option)
    for name, below in getattr(real, "commands", {}).items():
        yield from floats(below, (*path, name))


FLOATS = dict(floats(command()))


def test_they_are_found() -> None:
    assert {"drill run --timeout", "drill run --duration", "search --timeout"} <= set(FLOATS)


@pytest.mark.parametrize("where", FLOATS)
@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999", "NaN"])
def test_what_is_no_finite_number_is_wrong_usage(where: str, text: str) -> None:
    real, option = FLOATS[where]
    context = typer.Context(real)
    with pytest.raises(Exception, match=r"finite|greater than") as refused:
        option.process_value(context, text)
    assert getattr(refused.value, "exit_code", None) == 2
