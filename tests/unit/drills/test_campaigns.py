"""Campaigns: the seed's drills, each once, also from the middle on; the budget; what the drills make of the whole."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Literal, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drills.campaigns import CAMPAIGNS
from drills.campaigns.conductor import Campaigns
from drills.campaigns.definition import Campaign, CampaignDrill, CampaignStep, RandomPart
from drills.campaigns.members import members
from drills.campaigns.progress import CampaignProgress
from drills.catalogue.reader import BadDefinition
from drills.control.outcomes import Outcome
from drills.files import checked
from drills.gamedays.desk import GameDays
from drills.running.orders import Orders
from drills.running.underway import Underway
from schemas.codec import Encoding
from schemas.records import DrillEvent, Verdict
from standfast.core.errors import DrillRejected
from standfast.core.settings import Settings
from standfast.core.status import SystemStatus
from tests.support.paper_orders import PaperOrders

SETTINGS = Settings()
VERDICTS: list[Verdict] = ["passed", "failed", "unknown", "aborted", "rejected"]


def event(drill_id: str, phase: str, verdict: Verdict | None = None, reason: str | None = None) -> DrillEvent:
    return DrillEvent(drill_id=drill_id, drill="worker-kill", phase=phase, at=1, verdict=verdict, reason=reason)  # type: ignore[arg-type]


def final(drill_id: str, verdict: Verdict, reason: str | None = None) -> DrillEvent:
    phase = verdict if verdict in {"aborted", "rejected"} else "completed"
    return event(drill_id, phase, verdict, reason)


def progress_of(campaign: Campaign) -> CampaignProgress:
    accepted = DrillEvent(drill_id="c", drill="campaign:x", phase="accepted", at=0, seed=1)
    return CampaignProgress(accepted, Encoding.JSON, campaign, members(campaign, "c", 1, SETTINGS, "ann"))


def series(*widths: int, error_budget: int = 0) -> Campaign:
    drill = CampaignDrill(drill="worker-kill")
    steps = tuple(CampaignStep(parallel=(drill,) * width) for width in widths)
    return Campaign(title="t", why="w", steps=steps, error_budget=error_budget)


def test_the_same_seed_gives_the_same_drills_and_another_one_others() -> None:
    part = RandomPart(drills=("worker-kill", "worker-freeze", "workers-kill-two"), count=200)
    campaign = Campaign(title="t", why="w", random=part)
    first, again, other = (members(campaign, "c", seed, SETTINGS, None) for seed in (7, 7, 8))
    assert first == again
    assert first != other
    commands = [command for (command,) in first]
    assert {command.drill for command in commands} == set(part.drills)
    assert len({command.drill_id for command in commands}) == 200
    assert {command.target.get("partition") for command in commands} >= set(range(SETTINGS.kafka.partitions))
    with pytest.raises(DrillRejected, match="there is no drill 'worker-kil'"):
        members(
            Campaign(title="t", why="w", random=RandomPart(drills=("worker-kil",), count=1)), "c", 1, SETTINGS, None
        )


@given(
    st.lists(st.integers(1, 3), min_size=1, max_size=5),
    st.lists(st.sampled_from(VERDICTS), min_size=15, max_size=15),
    st.integers(0, 3),
    st.integers(0, 30),
)
def test_no_drill_begins_twice_also_when_another_runner_goes_on(
    widths: list[int], verdicts: list[Verdict], budget: int, crash_after: int
) -> None:
    campaign = series(*widths, error_budget=budget)
    log: list[DrillEvent] = []
    progress, ends, begun = progress_of(campaign), iter(verdicts), list[str]()
    while not progress.is_over():
        step = progress.waiting()
        for command in step:
            begun.append(command.drill_id or "")
            log.append(event(begun[-1], "accepted"))
            progress.note(log[-1])
            if len(log) == crash_after:
                break
        for drill_id in progress.going_on():
            if len(log) == crash_after:  # the next runner ends what ran as aborted, and goes on
                progress = progress_of(campaign)
                for old in log:
                    progress.note(old)
                crash_after = -1
            verdict = next(ends) if crash_after >= 0 else "aborted"
            log.append(final(drill_id, verdict))
            assert progress.note(log[-1])
            assert not progress.note(log[-1])
    assert len(begun) == len(set(begun))
    errors = sum(entry.verdict in {"failed", "unknown", "rejected"} for entry in log)
    if errors <= budget:
        assert len(begun) == sum(widths)
    verdict = progress.final().verdict
    assert (verdict == "passed") == all(entry.verdict == "passed" for entry in log if entry.phase != "accepted")
    assert (verdict == "failed") == any(entry.verdict == "failed" for entry in log)


def test_one_error_more_than_the_budget_ends_it() -> None:
    progress = progress_of(series(1, 1, 1, 1, error_budget=1))
    for number, verdict in ((1, "failed"), (2, "passed"), (3, "unknown")):
        assert [command.drill_id for command in progress.waiting()] == [f"c.{number}"]
        progress.note(final(f"c.{number}", verdict))  # type: ignore[arg-type]
    assert progress.is_over()
    last = progress.final()
    assert (last.phase, last.verdict) == ("completed", "failed")
    assert "its error_budget is 1" in (last.reason or "")
    assert len(last.findings or ()) == 3


def test_a_drill_called_off_says_nothing_but_its_own_stop_condition_does() -> None:
    progress = progress_of(series(1, 1))
    progress.note(final("c.1", "aborted", "stopped by the command x"))
    assert progress.waiting()
    progress.note(final("c.2", "aborted", "stopped by its own condition: error_share"))
    assert "its error_budget is 0" in (progress.final().reason or "")


def test_a_stopped_campaign_ends_after_its_drill() -> None:
    progress = progress_of(series(1, 1))
    progress.note(event("c.1", "accepted"))
    progress.stopped = "stopped by the command x"
    assert (progress.is_over(), progress.going_on()) == (False, ["c.1"])
    progress.note(final("c.1", "aborted"))
    assert progress.is_over()
    assert (progress.final().phase, progress.final().verdict) == ("aborted", "aborted")


@pytest.mark.parametrize(("state_of_b", "begins"), [("ready", True), ("degraded", False)])
def test_a_campaign_waits_for_the_system_wherever_its_runner_is(
    state: Path, state_of_b: Literal["ready", "degraded"], begins: bool
) -> None:
    """A runner alone in a container looked for a system beside itself, and waited in vain before each drill."""
    orders = PaperOrders(SETTINGS)
    orders.hosts.seen = {
        host: SystemStatus(state=seen, at=0, supervisor_pid=1, bootstrap_servers="", metrics_url="")
        for host, seen in (("a", "ready"), ("b", state_of_b))
    }
    campaigns = Campaigns(SETTINGS, Underway(SETTINGS, cast("Orders", orders), print))
    progress = progress_of(series(1))
    accepted = msgspec.structs.replace(
        progress.accepted, params={"campaign": msgspec.json.encode(progress.campaign).decode()}
    )
    campaigns.resume([Outcome(accepted, Encoding.JSON)])
    campaigns._free_since -= progress.campaign.pause_s
    assert [command.drill_id for command in campaigns.due()] == (["c.1"] if begins else [])


@pytest.mark.parametrize(
    "campaign",
    [
        '{"title": "t", "why": "w", "random": {"drills": [], "count": 3}}',
        '{"title": "t", "why": "w", "random": {"drills": ["worker-kill"], "count": 1000000000}}',
        '{"title": "t", "why": "w", "steps": [{}]}',
        '{"title": "t", "why": "w", "random": ' + '{"drills":' * 50_000,
        '{"x": ' + "[" * 50_000 + "]" * 50_000 + "}",
        "[]",
        "",
    ],
    ids=["no drills", "a thousand million", "an empty step", "deep", "deep in an unknown field", "no campaign", "none"],
)
def test_a_forged_campaign_ends_no_runner(campaign: str) -> None:
    """Any client may write such an event. A runner that ended of it would end at every start."""
    forged = msgspec.structs.replace(progress_of(series(1)).accepted, params={"campaign": campaign})
    campaigns = Campaigns(SETTINGS, Underway(SETTINGS, cast("Orders", PaperOrders(SETTINGS)), print))
    campaigns.resume([Outcome(forged, Encoding.JSON)])
    assert campaigns.due() == []
    ((last, _),) = campaigns.events()
    assert (last.phase, "cannot go on with it" in (last.reason or "")) == ("aborted", True)


@pytest.mark.parametrize(
    "sealed",
    ['{"x": ' + "[" * 50_000 + "]" * 50_000 + "}", '{"drill": 7}', "\x00"],
    ids=["deep", "a number", "no text"],
)
def test_a_forged_game_day_ends_no_runner(sealed: str) -> None:
    accepted = DrillEvent(drill_id="g", drill="gameday", phase="accepted", at=0)
    text = base64.b64encode(sealed.encode()).decode()
    game_days = GameDays(SETTINGS)
    game_days.resume([Outcome(msgspec.structs.replace(accepted, params={"sealed": text}), Encoding.JSON)])
    assert game_days.due() == []
    ((last, _),) = game_days.events()
    assert last.phase == "rejected"


def test_our_campaigns_are_right(state: Path) -> None:
    for path in CAMPAIGNS.files().values():
        assert checked(path)[0] == "campaign"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("title: t\nwhy: w\nrandom: {drills: [], count: 3}\n", "name the drills"),
        ("title: t\nwhy: w\nrandom: {drills: [a], count: 0}\n", "count = 0"),
        ("title: t\nwhy: w\nsteps: [{drill: a}]\nrandom: {drills: [a], count: 1}\n", "either steps or random"),
        ("title: t\nwhy: w\nsteps: [{dril: a}]\n", "did you mean drill?"),
        ("title: t\nwhy: w\nsteps: [{drill: a, parallel: [{drill: b}]}]\n", "either drill or parallel"),
        ("title: t\nwhy: w\nsteps: [{parallel: [{drill: b}], seed: 1}]\n", "belong to a drill inside parallel"),
        ("title: ''\nwhy: w\nsteps: [{drill: a}]\n", "title is empty"),
        ("title: t\nwhy: w\nerror_budget: -1\nsteps: [{drill: a}]\n", ":3: error_budget = -1"),
        ("title: t\nwhy: w\npause_s: 4000\nsteps: [{drill: a}]\n", "pause_s = 4000"),
        (
            "title: t\nwhy: w\nsteps:\n- drill: worker-kil\n",
            ":4: there is no drill 'worker-kil'",
        ),
        ("title: t\nwhy: w\nsteps: [{drill: worker-kill, params: {rat: 1}}]\n", "no param 'rat'; did you mean rate?"),
        ("title: t\nwhy: w\nsteps: [{drill: worker-kill, target: {brokr: 1}}]\n", "no target 'brokr'"),
        ("title: t\nwhy: w\nrandom: {drills: [worker-kil], count: 1}\n", "did you mean worker-kill?"),
    ],
)
def test_a_wrong_campaign_is_said_with_what_would_be_right(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "campaign.yaml"
    file.write_text(text)
    with pytest.raises(BadDefinition, match=re.escape(why)):
        checked(file)
