"""From a command to a plan: what is accepted, and what is rejected with which reason."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.service import service
from drills.catalogue import catalogue, find
from drills.faults import FAULTS, fault_named
from drills.faults.running_system import RunningSystem
from drills.running import choice
from drills.running.plan import Plan, longest_s, make_plan
from schemas.records import DrillCommand, Scalar
from standfast.core.errors import DrillRejected, UsageError
from standfast.core.settings import DrillSettings, KafkaSettings, Settings, WorkerSettings
from standfast.core.status import SystemStatus, WorkerStatus

_PARAMS = [param.name for param in find("worker-kill").params]
SETTINGS = Settings(kafka=KafkaSettings(topic_prefix="x."))


def plan(settings: Settings = SETTINGS, **fields: Any) -> Plan:
    return make_plan(DrillCommand(**{"drill": "worker-kill", **fields}), "d1", settings)


def system(*workers: tuple[str, str, list[int]], state: str = "ready") -> SystemStatus:
    listed = [
        WorkerStatus(
            id=name,
            pid=os.getpid(),
            service="search",
            group="x.standfast-search",
            role=role,  # type: ignore[arg-type]
            state="serving" if role == "active" else "ready",
            partitions={"x.search.requests": owned},
        )
        for name, role, owned in workers
    ]
    return SystemStatus(
        state=state,  # type: ignore[arg-type]
        at=0,
        supervisor_pid=1,
        bootstrap_servers="",
        metrics_url="",
        workers=listed,
    )


TWO = system(("search-0", "active", [0, 1, 2]), ("search-1", "active", [3]), ("search-s0", "standby", []))


def chosen(status: SystemStatus | None, **fields: Any) -> str:
    """The worker that worker-kill chooses in a system with this status."""
    wanted = plan(**fields)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("standfast.core.status.read", lambda: status)
        search = service(wanted.service, SETTINGS)
        (fault,) = wanted.faults
        with closing(fault.kind.make(RunningSystem(SETTINGS, search), fault.aim)) as injector:
            statuses = {"here": status} if status is not None else {}
            return choice.chosen(injector, search, lambda: statuses, wanted.limits).processes[0].id


def test_every_drill_of_the_catalogue_runs_with_its_defaults() -> None:
    for name in catalogue():
        assert plan(drill=name).duration_s == longest_s(plan(drill=name))


def test_a_fault_s_own_parameters_are_data_and_a_wrong_one_names_the_nearest_right_one() -> None:
    hang = FAULTS["hang"]
    assert hang.aim(params={"at_most_s": 3}).params == {"at_most_s": 3.0}
    assert hang.aim().params == {"at_most_s": 10.0}
    with pytest.raises(DrillRejected, match="hang has no param 'at_mots_s'; did you mean at_most_s"):
        hang.aim(params={"at_mots_s": 3})
    with pytest.raises(DrillRejected, match="at_most_s = -1: give a number"):
        hang.aim(params={"at_most_s": -1})
    with pytest.raises(DrillRejected, match="kill has no param 'at_most_s'; there are: none"):
        FAULTS["kill"].aim(params={"at_most_s": 3})


def test_a_fault_that_is_not_there_names_the_nearest_one() -> None:
    with pytest.raises(UsageError, match="there is no fault 'supervisr'; did you mean supervisor"):
        fault_named("supervisr")


def test_a_whole_number_may_stand_for_a_number() -> None:
    assert plan(params={"rate": 100}).rate == 100.0


def test_at_least_once_delivery_promises_no_single_answers() -> None:
    relaxed = Settings(workers=WorkerSettings(delivery="at_least_once"))
    assert plan(relaxed).objectives.duplicates_allowed
    assert not plan().objectives.duplicates_allowed


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"drill": "worker-kil"}, "did you mean worker-kill?"),
        ({"drill": "x" * 900_000}, "there are: broker-kill, controller-kill"),
        ({"params": {"rat": 3}}, "did you mean rate?"),
        ({"params": {"rate": "40"}}, "rate = '40': give a number (1 to 2000)"),
        ({"params": {"rate": True}}, "rate = True"),
        ({"params": {"rate": None}}, "rate = None"),
        ({"params": {"rate": float("nan")}}, "rate = nan"),
        ({"params": {"rate": 1e9}}, "1 to 2000"),
        ({"params": {"service": "shop"}}, "give one of search or recommend"),
        ({"params": {"service": 1}}, "give one of search or recommend"),
        ({"params": {"queries": "q" * 5000}}, "at most 2000"),
        ({"params": {"recover_within_s": 1}}, "recover_within_s = 1 is shorter than the objective rto_ms = 5000"),
        ({"duration_s": 10_000}, "raise the setting drills.max_duration_s"),
        ({"duration_s": 2}, "too short"),
        ({"duration_s": -1}, "duration_s = -1"),
        ({"duration_s": float("nan")}, "duration_s = nan"),
        ({"target": {"broker": 1}}, "target has no key 'broker'; there are: worker, partition, topic"),
        ({"target": {"worker": "search-0", "partition": 1}}, "the worker alone is enough"),
        ({"target": {"worker": 3}}, "target.worker = 3"),
        ({"target": {"partition": -1}}, "target.partition = -1"),
        ({"target": {"partition": "1"}}, "target.partition = '1'"),
        ({"target": {"topic": "search.results"}}, "give a request topic: search.requests or recommend.requests"),
        ({"target": {"topic": "search.requests"}, "params": {"service": "recommend"}}, "is not a topic of"),
    ],
)
def test_a_wrong_command_is_refused_with_what_would_be_right(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(DrillRejected) as refused:
        plan(**fields)
    assert message in str(refused.value)
    assert len(str(refused.value)) < 500


def test_a_setting_bounds_the_duration() -> None:
    with pytest.raises(DrillRejected, match="lower before_s or after_s"):
        plan(Settings(drills=DrillSettings(max_duration_s=5)))
    assert plan(Settings(drills=DrillSettings(max_duration_s=20))).duration_s == 20


def test_a_request_topic_names_its_service_with_and_without_the_prefix() -> None:
    assert plan(target={"topic": "recommend.requests"}).service == "recommend"
    assert plan(target={"topic": "x.recommend.requests"}).service == "recommend"


_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=50)


@given(
    st.dictionaries(st.sampled_from(_PARAMS) | st.text(max_size=8), _scalars),
    st.dictionaries(st.sampled_from(["worker", "partition", "topic"]) | st.text(max_size=8), _scalars),
    st.none() | st.floats(),
)
def test_whatever_is_sent_it_becomes_a_plan_within_limits_or_is_refused(
    params: dict[str, Scalar], target: dict[str, Scalar], duration_s: float | None
) -> None:
    try:
        made = plan(params=params, target=target, duration_s=duration_s)
    except DrillRejected:
        return
    assert 0 < made.duration_s <= SETTINGS.drills.max_duration_s
    assert 1 <= made.rate <= 2000


def test_by_default_the_worker_with_most_partitions_is_struck() -> None:
    assert chosen(TWO) == "search-0"


def test_a_target_may_be_named_by_worker_by_partition_or_by_topic() -> None:
    assert chosen(TWO, target={"worker": "search-1"}) == "search-1"
    assert chosen(TWO, target={"partition": 3}) == "search-1"
    assert chosen(TWO, target={"topic": "search.requests"}) == "search-0"


def test_ties_are_broken_by_the_seed_and_the_same_seed_breaks_them_the_same_way() -> None:
    tied = system(*((f"search-{number}", "active", [number]) for number in range(6)))
    picks = {seed: chosen(tied, seed=seed) for seed in range(20)}
    assert len(set(picks.values())) > 1
    assert picks == {seed: chosen(tied, seed=seed) for seed in range(20)}


@pytest.mark.parametrize(
    ("status", "fields", "message"),
    [
        (lambda: None, {}, "standfast up"),
        (lambda: system(state="starting"), {}, "the system is starting"),
        (system, {}, "no worker of search is active"),
        (lambda: system(("search-0", "active", [0])), {}, "the only worker"),
        (lambda: system(("search-0", "active", []), ("search-1", "active", [])), {}, "owns no partition"),
        (lambda: TWO, {"target": {"worker": "search-9"}}, "there are: search-0, search-1"),
        (lambda: TWO, {"target": {"partition": 9}}, "no active worker owns partition 9"),
    ],
)
def test_a_system_that_cannot_be_drilled_is_left_alone(
    status: Callable[[], SystemStatus | None], fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(DrillRejected) as refused:
        chosen(status(), **fields)
    assert message in str(refused.value)
