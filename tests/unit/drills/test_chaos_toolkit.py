"""Experiments of the Chaos Toolkit as drills: what both have is mapped, and all else is named."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from drills.catalogue.chaos_toolkit import imported
from drills.catalogue.reader import read
from standfast.core.errors import DrillUsageError

KILL = {
    "type": "action",
    "name": "kill-it",
    "provider": {"type": "process", "path": "pkill", "arguments": "-9 -f worker"},
}
EXPERIMENT: dict[str, Any] = {
    "version": "1.0.0",
    "title": "Does the shop outlive a worker?",
    "description": "A worker  dies.\nThe shop must go on.",
    "tags": ["shop", "kafka"],
    "configuration": {"host": {"type": "env", "key": "HOST"}},
    "steady-state-hypothesis": {
        "title": "It answers",
        "probes": [
            {
                "type": "probe",
                "name": "up",
                "tolerance": 200,
                "provider": {"type": "http", "url": "http://x", "timeout": 3},
            },
            {
                "type": "probe",
                "name": "rows",
                "tolerance": [1, 2],
                "provider": {"type": "python", "module": "m", "func": "f"},
            },
        ],
    },
    "method": [
        {**KILL, "pauses": {"before": 2, "after": 5}, "background": True},
        {"type": "probe", "name": "look", "provider": {"type": "http", "url": "http://x"}},
        {
            "type": "action",
            "name": "odd",
            "provider": {"type": "python", "module": "chaosaws", "func": "detach_volume"},
        },
    ],
    "rollbacks": [{"type": "action", "name": "start-it", "provider": {"type": "process", "path": "start"}}],
}


def test_what_both_have_is_mapped_and_all_else_is_named() -> None:
    drill = imported(json.dumps(EXPERIMENT))
    assert yaml.safe_load(drill.text) == {
        "title": "Does the shop outlive a worker?",
        "why": "A worker dies. The shop must go on.",
        "tags": ["shop", "kafka"],
        "hypothesis": [{"probe": "error_share", "at_most": 0.0}, {"probe": "p99_ms", "at_most": 3000.0}],
        "method": [{"wait_s": 2}, {"fault": "kill", "target": {"topic": "{service}.requests"}}, {"wait_s": 5}],
    }
    told = "\n".join(drill.left_out)
    for name in ("kill-it", "background", "look", "odd", "probe up", "probe rows", "rollbacks", "configuration"):
        assert name in told
    definition = read("imported.yaml", drill.text)
    assert [step.fault for step in definition.steps() if step.fault] == ["kill"]


def test_yaml_is_read_as_well_as_json() -> None:
    assert imported(yaml.safe_dump(EXPERIMENT)).text == imported(json.dumps(EXPERIMENT)).text


@pytest.mark.parametrize(
    ("provider", "fault"),
    [
        ({"type": "process", "path": "/usr/bin/kill", "arguments": ["-KILL", "123"]}, "kill"),
        ({"type": "process", "path": "kill", "arguments": {"-s": "SIGSTOP", "123": ""}}, "hang"),
        ({"type": "process", "path": "pkill", "arguments": "--signal=TERM worker"}, "stop"),
        ({"type": "process", "path": "pkill worker"}, "stop"),
        ({"type": "process", "path": "pkill -f worker"}, "stop"),
        ({"type": "python", "module": "chaosk8s.pod.actions", "func": "terminate_pods"}, "kill"),
    ],
)
def test_the_fault_of_an_action(provider: dict[str, Any], fault: str) -> None:
    drill = imported(json.dumps({"title": "t", "method": [{"type": "action", "name": "a", "provider": provider}]}))
    assert yaml.safe_load(drill.text)["method"] == [{"fault": fault, "target": {"topic": "{service}.requests"}}]
    read("imported.yaml", drill.text)


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{", "a: b: c", "method: 3", "method: []", '{"method": [3, null, {}]}', "method: [{type: action}]",
        json.dumps({"method": [{**KILL, "provider": {"type": "process", "path": "pkill", "arguments": "-HUP x"}}]}),
        json.dumps({"method": [{**KILL, "provider": {"type": "process", "path": "pkill", "arguments": "-1 x"}}]}),
        '{"method": [{"type": "action", "provider": {"type": "process", "path": "rm", "arguments": "-9 x"}}]}',
    ],
)  # fmt: skip
def test_what_is_no_experiment_or_has_no_fault_of_ours_is_refused(text: str) -> None:
    with pytest.raises(DrillUsageError):
        imported(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 99) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "provider", "name", "probes", "pauses", "before"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(st.sampled_from(["title", "description", "tags", "steady-state-hypothesis", "rollbacks"]), JSON),
    st.lists(JSON, max_size=3),
)
def test_whatever_stands_beside_a_fault_the_drill_can_be_read(rest: dict[str, Any], others: list[Any]) -> None:
    drill = imported(json.dumps({**rest, "method": [KILL, *others]}))
    assert read("imported.yaml", drill.text).method
