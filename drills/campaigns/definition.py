"""The format of a campaign's file."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import field

from drills.catalogue.definition import DefinitionPart
from drills.catalogue.marked_yaml import Path
from schemas.records import Scalar

_MOST = 1000  # drills of a campaign
_LONGEST_S = 3600.0


class CampaignDrill(DefinitionPart, frozen=True):
    """One drill of a campaign, with what a command may set of it."""

    drill: str
    params: dict[str, Scalar] = field(default_factory=dict)
    target: dict[str, Scalar] = field(default_factory=dict)
    seed: int | None = None
    duration_s: float | None = None


class CampaignStep(DefinitionPart, frozen=True):
    """A drill, or several at once; exactly one of `drill` and `parallel` is given.

    Args:
        drill: its name, with `params`, `target`, `seed` and `duration_s` as a command has them.
        parallel: drills that begin together; the next step begins when all have ended.
    """

    drill: str | None = None
    params: dict[str, Scalar] = field(default_factory=dict)
    target: dict[str, Scalar] = field(default_factory=dict)
    seed: int | None = None
    duration_s: float | None = None
    parallel: tuple[CampaignDrill, ...] | None = None

    @property
    def drills(self) -> tuple[CampaignDrill, ...]:
        """The drills that begin together."""
        if self.drill is None:
            return self.parallel or ()
        return (
            CampaignDrill(
                drill=self.drill, params=self.params, target=self.target, seed=self.seed, duration_s=self.duration_s
            ),
        )


class RandomPart(DefinitionPart, frozen=True):
    """Drills by chance, one after the other.

    Args:
        drills: the names among which the seed chooses.
        count: how many are run.
        params: what is set in each.
    """

    drills: tuple[str, ...]
    count: int
    params: dict[str, Scalar] = field(default_factory=dict)


class Campaign(DefinitionPart, frozen=True):
    """One campaign. Its name is that of its file.

    Args:
        title, why: for people.
        steps: drills in series; or else `random`.
        seed: chooses the same drills and targets each time; left out: another one for each campaign.
        error_budget: so many drills may end without being passed; one more ends the campaign.
        pause_s: between two steps.
        ready_within_s: how long it is waited before a step until the system is ready again.
    """

    title: str
    why: str
    steps: tuple[CampaignStep, ...] = ()
    random: RandomPart | None = None
    seed: int | None = None
    error_budget: int = 0
    pause_s: float = 5.0
    ready_within_s: float = 60.0


def wrongs(campaign: Campaign) -> Iterator[tuple[Path, str]]:
    """Each thing that is wrong, and where. Whether the drills exist is looked at when the campaign begins."""
    for name in ("title", "why"):
        if not getattr(campaign, name).strip():
            yield (name,), f"{name} is empty; say it in a sentence"
    if bool(campaign.steps) == (campaign.random is not None):
        yield (), "a campaign has either steps or random"
    for number, step in enumerate(campaign.steps):
        if (step.drill is None) == (not step.parallel):
            yield ("steps", number), "a step has either drill or parallel"
        if step.parallel and (step.params or step.target or step.seed is not None or step.duration_s is not None):
            yield ("steps", number), "params, target, seed and duration_s belong to a drill inside parallel"
    yield from _chance(campaign.random)
    if sum(len(step.drills) for step in campaign.steps) > _MOST:
        yield ("steps",), f"a campaign has at most {_MOST} drills"
    yield from _numbers(campaign)


def _chance(part: RandomPart | None) -> Iterator[tuple[Path, str]]:
    if part is not None and not part.drills:
        yield ("random", "drills"), "name the drills to choose among"
    if part is not None and not 1 <= part.count <= _MOST:
        yield ("random", "count"), f"count = {part.count}: give 1 to {_MOST}"


def _numbers(campaign: Campaign) -> Iterator[tuple[Path, str]]:
    if campaign.seed is not None and not -(2**63) <= campaign.seed < 2**63:
        yield ("seed",), "give a whole number of at most 63 bits"
    if campaign.error_budget < 0:
        yield ("error_budget",), f"error_budget = {campaign.error_budget}: give 0 or more drills"
    for name in ("pause_s", "ready_within_s"):
        value = getattr(campaign, name)
        if not 0 <= value <= _LONGEST_S:
            yield (name,), f"{name} = {value:g}: give 0 to {_LONGEST_S:g} seconds"
