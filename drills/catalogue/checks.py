"""What types cannot say of a definition: names that exist, values within their limits, steps that make sense."""

from __future__ import annotations

from collections.abc import Iterator

from drills.catalogue.definition import Definition, MethodStep
from drills.catalogue.marked_yaml import Path
from drills.evidence.hypothesis import Expectation
from drills.evidence.probes import PROBES
from drills.faults import FAULTS
from drills.faults.injector import Kind
from drills.params import COMMON, nearest
from drills.targets import target_mistakes
from schemas.topics import BY_NAME
from standfast.core.errors import DrillRejected
from standfast.core.services import NAMES

Wrong = tuple[Path, str]
_ACTIONS = ("fault", "wait_s", "until", "parallel")
_BELONGS = {"target": "fault", "params": "fault", "for_s": "fault", "within_s": "until"}
_DEEPEST = 4  # parallel within parallel
_LONGEST_S = 3600.0


def wrongs(definition: Definition) -> Iterator[Wrong]:
    """Each thing that is wrong, and where."""
    for name in ("title", "why"):
        if not getattr(definition, name).strip():
            yield (name,), f"{name} is empty; say it in a sentence"
    if definition.service not in NAMES:
        yield ("service",), f"there is no service {definition.service!r:.100}{nearest(definition.service, list(NAMES))}"
    yield from _values(definition)
    yield from _limits(definition)
    yield from _steps(definition.method, ("method",))
    if not any(step.fault for step in definition.steps()):
        yield ("method",), "no step of the method has a fault: nothing would be shown"
    for section in ("hypothesis", "stop_when"):
        for number, expectation in enumerate(getattr(definition, section)):
            yield from _expectation(expectation, (section, number))


def _values(definition: Definition) -> Iterator[Wrong]:
    """Those that a command may set too, by the same rules."""
    given = definition.values()
    for param in COMMON:
        if param.name in given:
            section, value = given[param.name]
            try:
                param.checked(value)
            except DrillRejected as error:
                yield (section, param.name), str(error)


def _limits(definition: Definition) -> Iterator[Wrong]:
    limits = definition.limits
    if limits.processes is not None and limits.processes < 1:
        yield ("limits", "processes"), f"processes = {limits.processes}: give 1 or more"
    if limits.share is not None and not 0 < limits.share <= 1:
        yield ("limits", "share"), f"share = {limits.share:g}: give a number above 0 and up to 1"
    if limits.duration_s is not None and not 0 < limits.duration_s <= _LONGEST_S:
        yield ("limits", "duration_s"), f"duration_s = {limits.duration_s:g}: give 0 to {_LONGEST_S:g} seconds"


def _steps(steps: tuple[MethodStep, ...], at: Path) -> Iterator[Wrong]:
    for number, step in enumerate(steps):
        path = (*at, number)
        yield from _one_action(step, path)
        yield from _fault(step, path)
        for name in ("wait_s", "for_s", "within_s"):
            value = getattr(step, name)
            if value is not None and not 0 <= value <= _LONGEST_S:
                yield (*path, name), f"{name} = {value:g}: give 0 to {_LONGEST_S:g} seconds"
        if step.until is not None:
            yield from _expectation(step.until, (*path, "until"))
        if step.parallel is not None and len(path) > 3 * _DEEPEST:
            yield path, f"parallel stands {_DEEPEST} deep in parallel; that is as deep as it goes"
        for branch, inner in enumerate(step.parallel or ()):
            yield from _steps(inner, (*path, "parallel", branch))


def _one_action(step: MethodStep, path: Path) -> Iterator[Wrong]:
    given = [name for name in _ACTIONS if getattr(step, name) is not None]
    if len(given) != 1:
        yield path, f"a step has one of {', '.join(_ACTIONS)}, not {' and '.join(given) or 'none of them'}"
    for key, action in _BELONGS.items():
        if getattr(step, key) not in (None, {}) and action not in given:
            yield (*path, key), f"{key} belongs to a step with {action}"
    if step.until is not None and step.within_s is None:
        yield (*path, "until"), "until waits at most within_s; say how long"


def _fault(step: MethodStep, path: Path) -> Iterator[Wrong]:
    if step.fault is None:
        return
    if step.fault not in FAULTS:
        yield (*path, "fault"), f"there is no fault {step.fault!r:.100}{nearest(step.fault, list(FAULTS))}"
        return
    kind = FAULTS[step.fault]
    for key, mistake in target_mistakes(step.target, kind.targets, kind.name):
        yield (*path, "target", key), mistake
    yield from _topic(step, kind, path)
    for key, value in step.params.items():
        try:
            kind.aim(params={key: value})
        except DrillRejected as error:
            yield (*path, "params", key), str(error)


def _topic(step: MethodStep, kind: Kind, path: Path) -> Iterator[Wrong]:
    """A topic that is none of ours; the prefix of a system's topics is not known here."""
    topic = step.target.get("topic")
    if "topic" not in kind.targets or not isinstance(topic, str):
        return
    names = [name for name in BY_NAME if "broker" in kind.targets or name.endswith(".requests")]
    named = topic.replace("{service}", NAMES[0])
    if not named.endswith(tuple(names)):
        what = "topic of ours" if "broker" in kind.targets else "request topic"
        yield (*path, "target", "topic"), f"target.topic = {topic!r:.100} is no {what}{nearest(named, sorted(names))}"


def _expectation(expectation: Expectation, path: Path) -> Iterator[Wrong]:
    if expectation.probe not in PROBES:
        wrong = f"there is no probe {expectation.probe!r:.100}{nearest(expectation.probe, list(PROBES))}"
        yield (*path, "probe"), wrong
        return
    for key, text in expectation.wrongs:
        yield (*path, key), text
