"""Gives a service the number of workers that was asked for by hand, or that its load needs, and says why."""

from __future__ import annotations

import os
import time
from collections import deque

import structlog

from consumers.channel.messages import LoadReport
from consumers.supervision import orders
from consumers.supervision.replica_set import ReplicaSet
from consumers.supervision.scaling import Rule, Sample, Step, busy, decide
from consumers.supervision.topic_watch import TopicWatch
from standfast.core import telemetry
from standfast.core.sections import ServiceSettings
from standfast.core.settings import ScalingSettings
from standfast.core.status import ServiceStatus

_log = structlog.get_logger()
_STALE_S = 5.0  # an older load report does not count: workers send one a second


class Scaler:
    """Scales one service; on the supervisor's asyncio loop call `obey` often, and `look` once a second.

    Args:
        section: the settings of this service.
        watch: knows whether Kafka answers, and how many partitions the request topic has.
    """

    def __init__(
        self, replicas: ReplicaSet, section: ServiceSettings, scaling: ScalingSettings, watch: TopicWatch
    ) -> None:
        self._replicas = replicas
        self._section = section
        self._scaling = scaling
        self._watch = watch
        self._wanted: orders.Wanted = section.workers
        self._samples: deque[Sample] = deque()
        self._last_step = time.monotonic()
        self._reason = "so the settings say"
        telemetry.WORKERS_WANTED.labels(replicas.service.name).set(replicas.service.workers)

    def obey(self) -> None:
        """Sets the number of workers that was asked for by hand, if there is such an order."""
        name, before = self._replicas.service.name, self._replicas.service.workers
        wanted = orders.given(name) or self._section.workers
        if wanted != self._wanted:
            _log.info("number of workers is asked for by hand", service=name, workers=wanted)
            self._wanted, self._reason = wanted, "asked for by hand"
            self._samples.clear()
        if self._wanted not in {"auto", before}:
            self._take(Step(int(self._wanted) - before, "asked for by hand", "by_hand"))

    def look(self) -> None:
        """Adds or removes workers if the load is to decide (`auto`), and a step is due."""
        if self._wanted != "auto":
            return
        self._watch.ask()
        unknown = self._unknown()
        if unknown:
            self._samples.clear()
            self._reason = f"nothing is changed while {unknown}"
            return
        now = time.monotonic()
        self._remember(Sample(now, tuple(self._loads())))
        step = decide(self._samples, self._rule(), now, self._last_step)
        if step.by:
            self._take(step)
        else:
            self._reason = step.reason

    def status(self) -> ServiceStatus:
        """How many workers there are, their load, and the reason for their number."""
        loads = self._loads()
        waiting = [load.waiting for load in loads]
        rule = self._rule()
        return ServiceStatus(
            name=self._replicas.service.name,
            workers=self._replicas.service.workers,
            serving=self._replicas.serving,
            settled=self._replicas.settled,
            auto=self._wanted == "auto",
            fewest=rule.fewest,
            most=rule.most,
            partitions=self._replicas.partitions,
            busy=round(busy(Sample(0.0, tuple(loads))) / len(loads), 3) if loads else None,
            waiting=None if None in waiting else sum(count for count in waiting if count is not None),
            reason=self._reason,
        )

    def _unknown(self) -> str:
        """Why the load allows no conclusion: it is not known, or processes are changing; empty if it does."""
        if self._replicas.is_renewing:
            return "a new model is brought in"
        if not self._replicas.settled:
            return "workers are started or replaced"
        if self._watch.problem:
            return self._watch.problem
        loads = self._loads()
        if len(loads) < self._replicas.service.workers:
            silent = self._replicas.service.workers - len(loads)
            return f"{silent} workers have not said for {_STALE_S:g} s what they do"
        if any(load.waiting is None for load in loads):
            return "Kafka has not said where each partition ends"
        return ""

    def _loads(self) -> list[LoadReport]:
        """The last load report of each worker, unless it is older than 5 s."""
        return self._replicas.members.loads(since=time.monotonic() - _STALE_S)

    def _remember(self, sample: Sample) -> None:
        self._samples.append(sample)
        begin = sample.at - max(self._scaling.up_after_s, self._scaling.down_after_s) - 2
        while self._samples[0].at < begin:
            self._samples.popleft()

    def _rule(self) -> Rule:
        partitions = self._watch.partitions or self._replicas.partitions
        most = min(self._section.max_workers or len(os.sched_getaffinity(0)), partitions or 256)
        wait = self._scaling.target_wait_ms / 1000
        longest = self._section.max_wait_ms / 1000
        return Rule(
            fewest=min(self._section.min_workers, most),
            most=most,
            wait=min(wait, longest / 2) if longest else wait,
            up_after=self._scaling.up_after_s,
            down_after=self._scaling.down_after_s,
            cooldown=self._scaling.cooldown_s,
        )

    def _take(self, step: Step) -> None:
        name, before = self._replicas.service.name, self._replicas.service.workers
        after = before + step.by
        _log.info("number of workers changes", service=name, before=before, after=after, reason=step.reason)
        telemetry.SCALING_STEPS.labels(name, "up" if step.by > 0 else "down", step.cause).inc()
        telemetry.WORKERS_WANTED.labels(name).set(after)
        self._samples.clear()
        self._last_step = time.monotonic()
        self._reason = step.reason
        self._replicas.scale(after)
