"""The circumstances of a drill in groups of names and texts, as a page shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from drills.evidence.circumstances import Circumstances
from schemas.records import Scalar


@dataclass(frozen=True, slots=True)
class CircumstanceGroup:
    """Names and texts under a heading; `note` stands where there are none."""

    name: str
    rows: list[tuple[str, str]]
    note: str = ""


def circumstance_groups(
    known: Circumstances | None, params: Mapping[str, Scalar] | None, seed: int | None, requested_by: str | None
) -> list[CircumstanceGroup]:
    """What is known of them: how the drill was run, and on what."""
    run_with = [(key, str(value)) for key, value in (params or {}).items() if value != ""]
    run_with += [("seed", str(seed))] if seed is not None else []
    run_with += [("requested by", requested_by)] if requested_by else []
    groups = [CircumstanceGroup("run with", run_with)] if run_with else []
    if known is None:
        return groups
    models = [(label, f"sha256 {digest}" if digest else "not on the machine of the drill runner")
              for label, digest in known.models.items()]  # fmt: skip
    return [
        *groups,
        CircumstanceGroup("machine and load", list(known.machine.items())),
        CircumstanceGroup("versions", list(known.versions.items())),
        CircumstanceGroup("models", models, "no worker told its model"),
        CircumstanceGroup("settings that are not default", list(known.settings.items()), "all are the defaults"),
        CircumstanceGroup("clocks", list(known.clocks.items())),
    ]
