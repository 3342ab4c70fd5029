"""From a command to a plan: what is accepted, and what is rejected with which reason."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.service import service
from drills.catalogue import catalogue, find
from drills.faults import FAULTS, fault_named
from drills.faults.running_system import RunningSystem
from drills.running import choice
from drills.running.plan import SETTLE_S, Plan, least_s, longest_s, make_plan
from drills.targets import partition_of
from schemas.records import DrillCommand, Scalar
from standfast.core.errors import DrillRejected, UsageError
from standfast.core.settings import DrillSettings, KafkaSettings, Settings, WorkerSettings
from standfast.core.status import ServiceStatus, SystemStatus, WorkerStatus

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


def test_a_drill_may_take_as_long_as_the_undo_of_each_fault_that_ends_before_the_next() -> None:
    """Five restarts of a broker took all of the drill's time, so its last answers were not waited for."""
    bounce = plan(drill="broker-bounce")
    assert sum(step.undos for step in bounce.method) == 5
    waits = bounce.recover_within_s + 2 * bounce.answer_within_s + 6 * bounce.restore_within_s
    assert longest_s(bounce) == least_s(bounce) + waits + SETTLE_S


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
        ({"drill": "x" * 900_000}, "there are: broker-"),
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
        ({"target": {"broker": 1}}, "worker-kill has no target 'broker'; did you mean worker?"),
        ({"target": {"partitoin": 1}}, "worker-kill has no target 'partitoin'; did you mean partition?"),
        ({"target": {"worker": "search-0", "partition": 1}}, "the worker alone is enough"),
        ({"target": {"worker": 3}}, "target.worker = 3"),
        ({"target": {"replica": 1}}, "worker-kill has no target 'replica'; there are: worker, partition, key, topic"),
        ({"target": {"key": ""}}, "target.key = '': give the key of a record, such as u7"),
        ({"target": {"key": "u7", "partition": 1}}, "target names a partition and a key; give one of them"),
        ({"target": {"host": 3}}, "target.host = 3: give the name of a host"),
        ({"target": {"standby": False}}, "target.standby = False: give true, or a standby's id"),
        ({"drill": "broker-kill", "target": {"controller": 1}}, "target.controller = 1: give true"),
        ({"drill": "broker-kill", "target": {"grup": "x"}}, "broker-kill has no target 'grup'; did you mean group?"),
        ({"drill": "broker-kill", "target": {"broker": "1"}}, "target.broker = '1': give the id of a broker"),
        (
            {"drill": "broker-kill", "target": {"follower": 1.5}},
            "target.follower = 1.5: give the number of a partition",
        ),
        (
            {"drill": "broker-kill", "target": {"topic": "serch.results"}},
            "no topic of ours; did you mean search.results?",
        ),
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


def test_a_fault_on_a_broker_may_name_any_topic_of_ours() -> None:
    for topic in ("search.results", "x.search.results"):
        (fault,) = plan(drill="broker-kill", target={"topic": topic, "partition": 1}).faults
        assert fault.aim.target == {"topic": "search.results", "partition": 1}


def test_every_fault_knows_the_drill_that_it_belongs_to() -> None:
    assert [fault.aim.drill_id for fault in plan(drill="worker-kill-twice").faults] == ["d1", "d1"]


@given(
    st.dictionaries(st.sampled_from(_PARAMS) | st.text(max_size=8), _scalars),
    st.dictionaries(
        st.sampled_from(["worker", "partition", "topic", "key", "host", "standby"]) | st.text(max_size=8), _scalars
    ),
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


def test_the_owner_of_a_key_owns_the_partition_where_a_java_client_puts_it() -> None:
    # Kafka's own examples for murmur2 (clients/src/test/java/org/apache/kafka/common/utils/UtilsTest.java).
    java = {
        "21": -973932308,
        "foobar": -790332482,
        "a-little-bit-long-string": -985981536,
        "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    }
    for key, code in java.items():
        for partitions in (1, 4, 6, 1000):
            assert partition_of(key, partitions) == (code & 0x7FFFFFFF) % partitions
    partitions = [
        ServiceStatus(name="search", workers=2, serving=2, settled=True, auto=False, fewest=1, most=4, partitions=4)
    ]
    counted = msgspec.structs.replace(TWO, services=partitions)
    for key in ("u1", "u2", "u7", "ü"):
        owner = "search-1" if partition_of(key, 4) == 3 else "search-0"
        assert chosen(counted, target={"key": key}) == owner
    assert {partition_of(f"u{number}", 4) for number in range(20)} == {0, 1, 2, 3}


def test_a_standby_and_a_host_may_be_named() -> None:
    status = system(("search-0", "active", [0]), ("search-s3", "standby", []), ("search-s1", "standby", []))
    on_a = msgspec.structs.replace(status, host="shop/a")
    assert chosen(on_a, target={"standby": "search-s3"}) == "search-s3"
    assert chosen(on_a, target={"host": "shop/a"}) == "search-0"
    picks = {seed: chosen(on_a, target={"standby": True}, seed=seed) for seed in range(20)}
    shuffled = msgspec.structs.replace(on_a, workers=on_a.workers[::-1])
    assert set(picks.values()) == {"search-s1", "search-s3"}
    assert picks == {seed: chosen(shuffled, target={"standby": True}, seed=seed) for seed in range(20)}


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
        (lambda: TWO, {"target": {"key": "u7"}}, "how many partitions x.search.requests has is not known yet"),
        (lambda: TWO, {"target": {"standby": "search-s9"}}, "no ready standby search-s9; there are: search-s0"),
        (lambda: TWO, {"target": {"host": "shop/b"}}, "host shop/b is not this one"),
    ],
)
def test_a_system_that_cannot_be_drilled_is_left_alone(
    status: Callable[[], SystemStatus | None], fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(DrillRejected) as refused:
        chosen(status(), **fields)
    assert message in str(refused.value)
