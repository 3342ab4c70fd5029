"""The drills of a campaign: which ones, with which ids, seeds and targets. The same seed gives the same drills."""

from __future__ import annotations

import zlib
from random import Random

from drills.campaigns.definition import Campaign, CampaignDrill
from drills.catalogue import find
from schemas.records import DrillCommand
from standfast.core.settings import Settings


def members(
    campaign: Campaign, campaign_id: str, seed: int, settings: Settings, by: str | None
) -> tuple[tuple[DrillCommand, ...], ...]:
    """The commands of its drills, those that begin together in one tuple; raises DrillRejected for an unknown drill."""
    steps = (
        [step.drills for step in campaign.steps] if campaign.random is None else _by_chance(campaign, seed, settings)
    )
    commands: list[tuple[DrillCommand, ...]] = []
    number = 0
    for drills in steps:
        step: list[DrillCommand] = []
        for drill in drills:
            number += 1
            own_seed = drill.seed if drill.seed is not None else zlib.crc32(f"{seed}/{number}".encode())
            step.append(
                DrillCommand(
                    drill=drill.drill,
                    drill_id=f"{campaign_id}.{number}",
                    target=drill.target,
                    params=drill.params,
                    duration_s=drill.duration_s,
                    seed=own_seed,
                    requested_by=by,
                )
            )
        commands.append(tuple(step))
    return tuple(commands)


def _by_chance(campaign: Campaign, seed: int, settings: Settings) -> list[tuple[CampaignDrill, ...]]:
    """One drill a step; where a drill can be aimed at a partition, the seed chooses one."""
    part, chance = campaign.random, Random(seed)
    assert part is not None  # noqa: S101 - the caller has looked
    chosen: list[tuple[CampaignDrill, ...]] = []
    for _ in range(part.count):
        name, partition = chance.choice(part.drills), chance.randrange(settings.kafka.partitions)
        target = {"partition": partition} if "partition" in find(name).targets else {}
        chosen.append((CampaignDrill(drill=name, params=part.params, target=dict(target)),))
    return chosen
