"""Counts the steps of a worker process, and kills the process at a step if a test has ordered it (`orders`).

A step is a call with an effect outside its thread: on Kafka, the supervisor, a reader of the heartbeat, or another
thread. A SIGKILL anywhere between two steps leaves the same behind, so tests need to kill only around steps. Every
method of every Kafka client is a step, and every method of every class in `_OURS`.
"""

from __future__ import annotations

import functools
import inspect
import json
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from consumers.channel import messages
from consumers.channel.heartbeat import Heartbeat
from consumers.channel.life_lock import LifeLock
from consumers.commit.committer import Committer
from consumers.process.seats import Seats
from tests.support.orders import Death, Orders

_OURS: tuple[type, ...] = (Committer, Heartbeat, LifeLock, Seats)
_CLIENTS: tuple[type, ...] = (Consumer, Producer, AdminClient)
# They only read the client's memory: a process killed after one has done no more than one killed before it.
_QUIET = {"assignment", "consumer_group_metadata", "get_watermark_offsets", "memberid", "position"}
_CALLBACKS = {"on_assign", "on_revoke", "on_lost"}

Name = str | Callable[..., str]
Function = Callable[..., Any]


class Counts(msgspec.Struct, frozen=True):
    """How often a process has taken each step, and how many requests of each kind its clients have sent to Kafka."""

    steps: dict[str, int]
    sent: dict[str, int]


class Steps:
    """Counts the steps of the processes forked from this one; on SIGUSR1 a process writes its `Counts`.

    With `asks` it also counts the requests to Kafka, for which clients wake up ten times a second.
    """

    def __init__(self, folder: Path, *, asks: bool = False) -> None:
        self._folder = folder
        self._asks = asks
        self._orders = Orders(folder, lambda: Death(os.getpid(), list(self._computing), self._asked))
        self._nursery = os.getpid()
        self._phase = "start"
        self._here = threading.local()
        self._counts: Counter[str] = Counter()
        self._sent: dict[str, Counter[str]] = {}
        self._computing: Sequence[tuple[int, int]] = ()
        self._asked = -1

    def install(self, model: type) -> None:
        """Makes every call of `_CLIENTS`, `_OURS` and `model` a step, in all modules of `consumers`."""
        for kind in (*_OURS, model):
            for name, method in list(vars(kind).items()):
                if inspect.isfunction(method) and not name.startswith("_"):
                    setattr(kind, name, self._step(f"{kind.__name__}.{name}", method, outermost=kind.__name__))
        stand_ins: dict[object, object] = {kind: self._stand_in(kind) for kind in _CLIENTS}
        stand_ins[messages.send] = self._step(_message_name("send"), messages.send)
        stand_ins[messages.offer] = self._step(_message_name("offer"), messages.offer)
        stand_ins[messages.receive] = self._step("receive", messages.receive)
        for module in [loaded for name, loaded in sys.modules.items() if name.startswith("consumers.")]:
            for attribute, value in list(vars(module).items()):
                if inspect.isroutine(value) or inspect.isclass(value):
                    setattr(module, attribute, stand_ins.get(value, value))

    def _stand_in(self, kind: type) -> type:
        """A subclass of a Kafka client whose methods and rebalance callbacks are steps."""
        made = type(kind.__name__, (kind,), {})
        for name in dir(kind):
            method = getattr(kind, name)
            if name == "__init__":
                method = self._with_statistics(method) if self._asks else method
            elif name in _QUIET or name.startswith("_") or not callable(method):
                continue
            elif name == "subscribe":
                method = self._subscribing(method)
            setattr(made, name, self._step(_client_name(kind.__name__, name), method))
        return made

    def _subscribing(self, subscribe: Function) -> Function:
        def subscribing(consumer: Any, topics: list[str], **more: Function) -> None:
            steps = {
                name: self._callback(f"{consumer.known_as}.{name}", function) if name in _CALLBACKS else function
                for name, function in more.items()
            }
            subscribe(consumer, topics, **steps)

        return subscribing

    def _callback(self, name: str, function: Function) -> Function:
        def called(*arguments: object) -> None:
            outer, self._here.callback = self._callback_here(), f"/{name}"
            try:
                function(*arguments)
            finally:
                self._here.callback = outer

        return self._step(name, called)

    def _callback_here(self) -> str:
        return getattr(self._here, "callback", "")

    def _step(self, name: Name, function: Function, outermost: str | None = None) -> Function:
        """`function` as a step. Called within another step of the class `outermost`, it is part of that step."""

        @functools.wraps(function)
        def step(*arguments: Any, **more: Any) -> Any:
            outer = getattr(self._here, "within", None)
            if os.getpid() == self._nursery or (outermost is not None and outer == outermost):
                return function(*arguments, **more)
            call = name if isinstance(name, str) else name(*arguments)
            full = self._begin(call, arguments)
            self._here.within = outermost
            try:
                result = function(*arguments, **more)
            finally:
                self._here.within = outer
            self._learn(call, arguments, result)
            self._orders.after(full)
            return result

        return step

    def _begin(self, call: str, arguments: tuple[Any, ...]) -> str:
        if call == "Committer.close":
            self._phase = "stop"
        full = f"{self._role()}: {call}"
        if not self._counts:
            signal.signal(signal.SIGUSR1, lambda *_: self._write_counts())
        self._counts[full] += 1
        if self._counts[full] == 1:
            with (self._folder / f"steps-{os.getpid()}").open("a") as file:
                file.write(full + "\n")
        if call.endswith(".predict") and self._phase != "start":
            self._asked = len(arguments[1])
        self._orders.before(full)
        return full

    def _learn(self, call: str, arguments: tuple[Any, ...], result: object) -> None:
        if call.endswith(".predict"):
            self._asked = -1
        elif call in {"Heartbeat.begin", "Heartbeat.end"}:
            self._computing = arguments[1] if call == "Heartbeat.begin" else ()
        elif call == "send Ready" and self._phase == "start":  # unless another thread has received Activate already
            self._phase = "stand by"
        elif isinstance(result, messages.Activate):
            self._phase = "take over"
        elif call == "send Serving" and self._phase == "take over" and arguments[1].partitions:
            self._phase = "serve"

    def _role(self) -> str:
        """The thread that takes the step; for the main thread, its present phase."""
        thread = threading.current_thread()
        if thread is threading.main_thread():
            return self._phase + self._callback_here()
        if thread.name == "committer":
            return "commit"
        return ("aside" if thread.name.startswith("Thread-") else thread.name) + self._callback_here()

    def _with_statistics(self, init: Function) -> Function:
        """An `__init__` that makes the client report its request counts ten times a second (librdkafka statistics)."""

        def count_requests(text: str) -> None:
            client = json.loads(text)
            self._sent[client["name"]] = sum(
                (Counter(broker["req"]) for broker in client["brokers"].values()), Counter()
            )

        def init_with_statistics(client: object, config: dict[str, Any], *more: object) -> None:
            init(client, {**config, "statistics.interval.ms": 100, "stats_cb": count_requests}, *more)

        return init_with_statistics

    def _write_counts(self) -> None:
        counts = Counts(self._counts, sum(self._sent.values(), Counter()))
        fresh = self._folder / f"counts-{os.getpid()}.new"
        fresh.write_bytes(msgspec.json.encode(counts))
        fresh.rename(self._folder / f"counts-{os.getpid()}")


def _client_name(kind: str, method: str) -> Name:
    """The step's name: `Consumer.poll`, or `Bulk.poll` for a consumer of bulk requests; for `__init__` only the class.

    The producer for reply topics is named `Replies`.
    """
    if kind == AdminClient.__name__:
        return kind if method == "__init__" else f"{kind}.{method}"

    def name(client: Any, *arguments: Any) -> str:
        if method != "__init__":
            return f"{client.known_as}.{method}"
        is_bulk = str(arguments[0].get("group.id")).endswith("-bulk")
        is_for_replies = str(arguments[0]["client.id"]).endswith(".replies")
        client.known_as = "Bulk" if is_bulk else "Replies" if is_for_replies else kind
        return str(client.known_as)

    return name


def _message_name(how: str) -> Name:
    return lambda _channel, message, *_: f"{how} {type(message).__name__}"
