"""A Chaos Toolkit experiment as a drill of ours: the parts that both have, and what had to be left out.

A mapping and nothing more: no action of the experiment is run, no module of it is imported. A drill of ours needs a
fault; an experiment whose actions stand for none of ours is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from standfast.core.errors import DrillUsageError

# By the name of the Python function that an action calls; the module differs from platform to platform.
_FUNCTIONS = {
    "terminate_pods": "kill",
    "delete_pods": "kill",
    "kill_process": "kill",
    "kill_container": "kill",
    "stop_container": "stop",
    "stop_process": "stop",
    "suspend_process": "hang",
    "pause_container": "hang",
    "terminate_process": "stop",
}
_SIGNALS = {"9": "kill", "KILL": "kill", "15": "stop", "TERM": "stop", "19": "hang", "STOP": "hang"}
_KILLERS = {"kill", "pkill", "killall"}
_OTHER_KEYS = ("configuration", "secrets", "controls", "extensions", "runtime", "contributions", "dry")
_TARGET = {"topic": "{service}.requests"}


@dataclass
class ImportedDrill:
    """The text of a drill's file, and a line for each thing that was left out or changed."""

    text: str = ""
    left_out: list[str] = field(default_factory=list)


def imported(text: str) -> ImportedDrill:
    """The drill that an experiment (JSON or YAML) stands for; raises DrillUsageError."""
    experiment = _parsed(text)
    drill = ImportedDrill()
    method = list(_steps(_list(experiment, "method"), drill))
    if not any("fault" in step for step in method):
        raise DrillUsageError(
            "no action of its method stands for a fault of ours; write the drill by hand: standfast drill schema"
            + "".join(f"\n{line}" for line in drill.left_out)
        )
    hypothesis = list(_hypothesis(experiment.get("steady-state-hypothesis"), drill))
    _note_rest(experiment, drill)
    content = {
        "title": _text(experiment.get("title")) or "An experiment of the Chaos Toolkit.",
        "why": _text(experiment.get("description")) or "The experiment does not say.",
        "tags": [_text(tag) for tag in _list(experiment, "tags")],
        "hypothesis": hypothesis,
        "method": method,
    }
    kept = {key: value for key, value in content.items() if value}
    drill.text = yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, width=120)
    return drill


def _parsed(text: str) -> dict[str, Any]:
    try:
        experiment = json.loads(text) if text.lstrip().startswith("{") else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise DrillUsageError(f"it is neither JSON nor YAML: {' '.join(str(error).split())[:300]}") from None
    if not isinstance(experiment, dict) or not isinstance(experiment.get("method"), list):
        raise DrillUsageError("it is no experiment of the Chaos Toolkit: that is a mapping with a list `method`")
    return experiment


def _steps(activities: list[Any], drill: ImportedDrill) -> Iterator[dict[str, Any]]:
    for number, stated in enumerate(activities, 1):
        activity: dict[str, Any] = stated if isinstance(stated, dict) else {}
        name = f"method {number} ({_text(activity.get('name')) or 'without a name'})"
        pauses = activity.get("pauses")
        pauses = pauses if isinstance(pauses, dict) else {}
        yield from _waits(pauses.get("before"), f"{name}: the pause before", drill)
        fault = _fault(activity) if activity.get("type") == "action" else None
        if fault is not None:
            yield {"fault": fault, "target": dict(_TARGET)}
            drill.left_out.append(f"{name}: taken for the fault {fault} on a worker; whom it struck is left out")
        else:
            drill.left_out.append(f"{name}: left out: {_why_not(activity)}")
        if fault is not None and activity.get("background"):
            drill.left_out.append(f"{name}: its `background` is left out: a fault of ours lasts until the recovery")
        yield from _waits(pauses.get("after"), f"{name}: the pause after", drill)


def _why_not(activity: dict[str, Any]) -> str:
    if activity.get("type") == "probe":
        return "a probe in the method; ours belong into the hypothesis"
    if "ref" in activity:
        return "a reference to another activity"
    return "it is no fault of ours"


def _waits(seconds: object, what: str, drill: ImportedDrill) -> Iterator[dict[str, Any]]:
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 < seconds < float("inf"):
        yield {"wait_s": seconds}
    elif seconds:
        drill.left_out.append(f"{what} is left out: {_text(seconds)} is no number of seconds")


def _fault(action: dict[str, Any]) -> str | None:
    provider = action.get("provider")
    if not isinstance(provider, dict):
        return None
    if provider.get("type") == "python":
        return _FUNCTIONS.get(str(provider.get("func")))
    if provider.get("type") == "process":
        return _signalled(_words(provider))
    return None


def _words(provider: dict[str, Any]) -> list[str]:
    """The command's words: the Chaos Toolkit takes its arguments as text, as a list or as options with values."""
    arguments = provider.get("arguments")
    if isinstance(arguments, dict):
        arguments = [str(part) for pair in arguments.items() for part in pair if part not in {None, ""}]
    words = arguments.split() if isinstance(arguments, str) else arguments if isinstance(arguments, list) else []
    return [*str(provider.get("path", "")).split(), *map(str, words)]


def _signalled(words: list[str]) -> str | None:
    """The fault that a command such as `pkill -9 -f worker` makes; a signal that is not named is SIGTERM."""
    if not words or words[0].rpartition("/")[2] not in _KILLERS:
        return None
    for position, word in enumerate(words[1:], 1):
        named = word.lstrip("-")
        if word in {"-s", "--signal"} and position + 1 < len(words):
            named = words[position + 1]
        elif word.startswith("--signal="):
            named = word.partition("=")[2]
        elif not word.startswith("-"):
            continue
        if (fault := _SIGNALS.get(named.upper().removeprefix("SIG"))) is not None:
            return fault
        is_signal = named.isdecimal() or (named.isupper() and len(named) > 2)
        if is_signal or word.startswith(("-s", "--signal")):
            return None  # another signal than ours
    return "stop"


def _hypothesis(stated: object, drill: ImportedDrill) -> Iterator[dict[str, Any]]:
    probes = stated.get("probes") if isinstance(stated, dict) else None
    for probe in probes if isinstance(probes, list) else []:
        provider = probe.get("provider") if isinstance(probe, dict) else None
        name = f"probe {_text(probe.get('name')) if isinstance(probe, dict) else ''}"
        if not isinstance(provider, dict) or provider.get("type") != "http":
            drill.left_out.append(f"{name}: left out: only probes by HTTP have something like it here")
            continue
        if probe.get("tolerance") in (200, [200], True):
            yield {"probe": "error_share", "at_most": 0.0}
            drill.left_out.append(f"{name}: taken for: no answer to the drill's own requests is an error")
        else:
            drill.left_out.append(f"{name}: its tolerance is left out: only the status 200 has something like it here")
        timeout = provider.get("timeout")
        if isinstance(timeout, int | float) and not isinstance(timeout, bool) and 0 < timeout < float("inf"):
            yield {"probe": "p99_ms", "at_most": timeout * 1000.0}
            drill.left_out.append(f"{name}: its timeout is taken for p99 of the drill's own requests")


def _note_rest(experiment: dict[str, Any], drill: ImportedDrill) -> None:
    if experiment.get("rollbacks"):
        drill.left_out.append("rollbacks: left out: every fault of ours is undone by itself, and that is verified")
    drill.left_out += [f"{key}: left out" for key in _OTHER_KEYS if experiment.get(key)]


def _list(experiment: dict[str, Any], key: str) -> list[Any]:
    value = experiment.get(key)
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    return " ".join(str(value).split())[:500] if value is not None else ""
