"""Files of the catalogue: what is a drill, and what is said of what is none: the line, and what would be right."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import fields
from typer.testing import CliRunner

from drills import catalogue
from drills.catalogue.definition import Definition, LimitsPart, LoadPart, MethodStep, ObjectivesPart
from drills.catalogue.reader import BadDefinition, read
from drills.evidence.probes import PROBES
from drills.faults import FAULTS
from drills.running.plan import make_plan
from schemas.records import DrillCommand
from standfast.commands.drill import app
from standfast.core.errors import DrillRejected
from standfast.core.settings import Settings, WorkerSettings

WHOLE = """\
title: Two faults, one after the other
why: To see both.
tags: [process]
runbook: docs/sre.md
service: recommend
guarantee: exactly_once
seed: 7
load: {rate: 80, before_s: 4}
objectives: {rto_ms: 900, p99_ms: 800, error_budget: 0.01}
limits: {processes: 2, share: 0.5, duration_s: 120}
hypothesis:
  - {probe: p99_ms, in: during, at_most: 5, relative_to: before}
  - {probe: answered_share, from_s: 3, equals: 1}
stop_when:
  - {probe: error_share, at_least: 0.5}
method:
  - fault: hang
    target: {topic: "{service}.requests"}
    params: {at_most_s: 2}
    for_s: 1
  - wait_s: 2
  - until: {probe: p99_ms, from_s: 1, at_most: 500}
    within_s: 10
  - parallel:
      - - fault: kill
          target: {worker: recommend-1}
      - - wait_s: 1
"""


def faults(text: str) -> list[str]:
    """What is wrong in a file, a line each, without the file's name."""
    with pytest.raises(BadDefinition) as bad:
        read("a.yaml", text)
    return [line.removeprefix("a.yaml:") for line in str(bad.value).splitlines()]


def with_(**lines: str) -> str:
    return "".join(
        f"{key}: {value}\n" for key, value in ({"title": "t", "why": "w", "method": "[{fault: kill}]"} | lines).items()
    )


def test_every_drill_of_ours_is_one_and_says_what_it_is_for() -> None:
    ours = catalogue.catalogue()
    assert {path.stem for path in Path(catalogue.__file__).parent.glob("*.yaml")} == set(ours)
    assert all(drill.definition.tags and len(drill.why) > 20 for drill in ours.values())


def test_all_that_a_file_may_say_is_read_and_is_in_the_plan() -> None:
    drill = catalogue.drill_of("whole", read("whole.yaml", WHOLE))
    assert {param.name: param.default for param in drill.params}["rate"] == 80
    assert {param.name: param.default for param in drill.params}["at_most_s"] == 2, "the fault's own may be set too"
    assert any("p99_ms during is at most 5 times that before the fault" in promise for promise in drill.promises)


def test_a_plan_has_the_files_values_and_a_command_overrides_them(state: Path) -> None:
    (catalogue.own_folder() / "whole.yaml").write_text(WHOLE)
    plan = make_plan(DrillCommand(drill="whole", params={"rate": 50, "at_most_s": 3}), "d1", Settings())
    hang, kill = plan.faults
    assert (plan.service, plan.rate, plan.before_s, plan.duration_s, plan.seed) == ("recommend", 50, 4, 120, 7)
    assert (hang.aim.target, hang.aim.params, hang.aim.seed) == ({"topic": "recommend.requests"}, {"at_most_s": 3}, 7)
    assert (kill.number, kill.aim.target, kill.aim.seed) == (1, {"worker": "recommend-1"}, 8)
    assert [step.longest_s for step in plan.method] == [1, 2, 10, 1]
    named = make_plan(DrillCommand(drill="whole", target={"worker": "recommend-0"}, seed=3), "d1", Settings())
    assert [fault.aim.target for fault in named.faults] == [{"worker": "recommend-0"}, {"worker": "recommend-1"}]
    assert named.seed == 3


def test_a_guarantee_that_the_system_does_not_give_is_refused(state: Path) -> None:
    (catalogue.own_folder() / "whole.yaml").write_text(WHOLE)
    with pytest.raises(DrillRejected, match=r"guarantee is exactly_once, and .* = at_least_once promises less"):
        make_plan(DrillCommand(drill="whole"), "d1", Settings(workers=WorkerSettings(delivery="at_least_once")))


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (WHOLE.replace("rate:", "rat:"), ["8: there is no key 'rat' here; did you mean rate?"]),
        (WHOLE.replace("at_most: 5,", "at_mots: 5,"), ["12: there is no key 'at_mots' here; did you mean at_most?"]),
        (WHOLE.replace("for_s", "fro_s"), ["20: there is no key 'fro_s' here; did you mean for_s?"]),
        (WHOLE.replace("stop_when", "stop-conditions"), ["14: there is no key 'stop-conditions' here"]),
        (
            WHOLE.replace("      - - wait_s", "      - - wiat_s"),
            ["27: there is no key 'wiat_s' here; did you mean wait_s?"],
        ),
        (with_(service="serch"), ["4: there is no service 'serch'; did you mean search?"]),
        (with_(load="{rate: fast}"), ["4: rate: give a number, not a text"]),
        (with_(load="{rate: 5000}"), ["4: rate = 5000.0: give a number (1 to 2000)"]),
        (with_(load="{rate: .nan}"), ["4: rate = nan: give a finite number"]),
        (with_(method="[{fault: kil}]"), ["3: there is no fault 'kil'; did you mean kill?"]),
        (with_(method="[{fault: kill, target: {broker: 1}}]"), ["3: kill has no target 'broker'"]),
        (with_(method="[{fault: broker, target: {grup: x}}]"), ["3: broker has no target 'grup'; did you mean group?"]),
        (with_(method="[{fault: kill, target: {key: 7}}]"), ["3: target.key = 7: give the key of a record"]),
        (with_(method="[{fault: kill, target: {topic: search.results}}]"), ["is no request topic; did you mean"]),
        (with_(method="[{fault: broker, target: {topic: serch.result}}]"), ["of ours; did you mean search.results?"]),
        (with_(method="[{fault: hang, params: {at_mots_s: 1}}]"), ["did you mean at_most_s?"]),
        (with_(method="[{fault: kill, wait_s: 1}]"), ["not fault and wait_s"]),
        (with_(method="[{fault: kill}, {}]"), ["not none of them"]),
        (with_(method="[{fault: kill}, {wait_s: 1, for_s: 2}]"), ["for_s belongs to a step with fault"]),
        (with_(method="[{fault: kill}, {wait_s: -1}]"), ["wait_s = -1: give 0 to 3600 seconds"]),
        (with_(method="[{fault: kill}, {until: {probe: p99_ms, at_most: 1}}]"), ["until waits at most within_s"]),
        (with_(method="[{wait_s: 1}]"), ["no step of the method has a fault"]),
        (with_(method="[]"), ["no step of the method has a fault"]),
        (with_(hypothesis="[{probe: p9_ms, at_most: 1}]"), ["there is no probe 'p9_ms'; did you mean p99_ms?"]),
        (with_(hypothesis="[{probe: p99_ms}]"), ["give one of at_most, at_least, between, equals, not 0"]),
        (with_(hypothesis="[{probe: p99_ms, between: [2, 1]}]"), ["the first is the lower bound"]),
        (with_(hypothesis="[{probe: lost, in: after, equals: 0}]"), ["lost says something of the whole history alone"]),
        (with_(limits="{share: 2}"), ["share = 2: give a number above 0 and up to 1"]),
        (with_(title="''"), ["1: title is empty"]),
        ("why: w\nmethod: [{fault: kill}]\n", ["1: title is missing"]),
        ("title: a\ntitle: b\n", ["2: title stands here for the second time"]),
        ("title: &a x\nwhy: *a\n", ["2: not YAML: aliases (*name) are not read here"]),
        ("title: [\n", ["not YAML"]),
        ("- 1\n", ["1: the file: give a mapping (key: value), not a list"]),
        ("", ["1: the file is empty"]),
    ],
)
def test_what_is_wrong_has_its_line_and_what_would_be_right(text: str, wrong: list[str]) -> None:
    told = faults(text)
    assert len(told) == len(wrong)
    assert all(part in line for part, line in zip(wrong, told, strict=True)), told


def test_several_mistakes_are_told_at_once() -> None:
    told = faults(WHOLE.replace("rate:", "rat:").replace("for_s", "fro_s").replace("seed", "sead"))
    assert [line.split(":")[0] for line in told] == ["7", "8", "20"]


@given(st.text(max_size=200) | st.binary(max_size=100).map(lambda raw: raw.decode("latin-1")))
def test_no_text_is_an_error_of_another_kind(text: str) -> None:
    with pytest.raises(BadDefinition):
        read("a.yaml", text)


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(msgspec.structs.asdict(read("a.yaml", WHOLE)))), _values)
def test_whatever_a_key_holds_it_is_read_or_told_of(key: str, value: object) -> None:
    with suppress(BadDefinition):
        read("a.yaml", with_(**{key: msgspec.json.encode(value).decode()}))


def test_a_file_that_is_no_drill_hides_no_other_and_says_so_to_whoever_asks_for_it(state: Path) -> None:
    (catalogue.own_folder() / "broken.yaml").write_text("title: x\n")
    (catalogue.own_folder() / "own.yaml").write_text(with_())
    assert {"own", "worker-kill"} <= set(catalogue.catalogue())
    assert "broken" not in catalogue.catalogue()
    with pytest.raises(DrillRejected, match=r"broken.yaml:1: why is missing"):
        catalogue.find("broken")


def test_ours_count_where_a_file_of_the_users_has_the_same_name(state: Path) -> None:
    (catalogue.own_folder() / "worker-kill.yaml").write_text(with_(title="mine"))
    assert catalogue.find("worker-kill").what != "mine"


def test_a_changed_file_is_read_again(state: Path) -> None:
    file = catalogue.own_folder() / "own.yaml"
    file.write_text(with_(title="before"))
    assert catalogue.find("own").what == "before"
    file.write_text(with_(title="afterwards"))
    assert catalogue.find("own").what == "afterwards"


def test_the_published_schema_knows_every_key() -> None:
    schema = msgspec.json.schema(Definition)
    assert set(schema["$defs"]) == {
        "Definition",
        "Expectation",
        "LimitsPart",
        "LoadPart",
        "ObjectivesPart",
        "MethodStep",
    }
    assert all(part["additionalProperties"] is False for part in schema["$defs"].values())


def test_drills_that_need_three_brokers_say_so() -> None:
    need = {name for name, drill in catalogue.catalogue().items() if drill.least_brokers == 3}
    assert need == {"broker-below-min-isr", "broker-coordinator-kill", "controller-kill"}
    listed = " ".join(CliRunner().invoke(app, ["list"], env={"COLUMNS": "200"}).output.split())
    assert listed.count("Needs 3 brokers.") == 3


def test_the_page_names_every_key_probe_and_fault() -> None:
    page = (Path(__file__).parents[3] / "docs" / "drills.md").read_text(encoding="utf-8")
    keys = {
        field.encode_name
        for part in (Definition, LoadPart, ObjectivesPart, LimitsPart, MethodStep)
        for field in fields(part)
    }
    usable = {name for name, kind in FAULTS.items() if kind.brokers is None or kind.brokers == 3}
    assert {name for name in (keys | set(PROBES) | usable) if f"`{name}" not in page} == set()
