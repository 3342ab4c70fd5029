"""The answers of the last half hour, and which of them an interaction is about.

An interaction is about the answer that it names by `request_id`, if that showed its product. One that names none is
about the last answer to its user that showed the product: recommendations, whose key is the user's id.
"""

from __future__ import annotations

import re
import sys
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from schemas.records import Interaction, Label, Result
from standfast.core import telemetry

_MODEL = re.compile(r"[a-z_][a-z0-9_]{0,60}@\d{1,9}")  # anybody may write results; metrics have only real versions
_EVENTS = {"view", "click", "cart", "purchase", "rating"}
_BY_USER = 20  # answers to one user that are looked through
_EARLY_MS = 1000  # clocks of a shop and of Kafka differ; nobody clicks on what is not shown yet
Name = tuple[str, str]  # an answer's service and request_id


@dataclass(slots=True)
class ShownAnswer:
    """One answer as its caller got it.

    Args:
        at: when it was written, epoch milliseconds.
        key: of its record; the user's id for services with histories.
        said: the products and events that labels were made of.
    """

    service: str
    request_id: str
    model: str
    at: int
    key: bytes
    items: tuple[str, ...]
    said: set[tuple[str, str]] = field(default_factory=set)

    @property
    def name(self) -> Name:
        """Its service and request_id: a page may ask search and recommendation by one id."""
        return self.service, self.request_id


def shown_answer(service: str, key: bytes | None, result: Result, at: int) -> ShownAnswer | None:
    """The answer to remember; None for one that showed nothing, or of no model's version."""
    if result.status != "ok" or not result.items or not _MODEL.fullmatch(result.model):
        return None
    items = tuple(sys.intern(item.item_id) for item in result.items)
    return ShownAnswer(service, result.request_id, sys.intern(result.model), at, key or b"", items)


class Shown:
    """Remembers answers for `keep_ms`, and no more than `most` of them. For one thread.

    Args:
        by_user: the services whose answers have the user's id as their key.
    """

    def __init__(self, keep_ms: int, most: int, services: Iterable[str], by_user: Iterable[str]) -> None:
        self._keep_ms, self._most = keep_ms, most
        self._services, self._by_user = tuple(services), frozenset(by_user)
        self._answers: OrderedDict[Name, ShownAnswer] = OrderedDict()
        self._of_user: dict[bytes, deque[Name]] = {}
        self._products: dict[tuple[str, str], Counter[str]] = {}

    def __len__(self) -> int:
        return len(self._answers)

    def show(self, answer: ShownAnswer) -> None:
        """Remembers an answer, and forgets the oldest ones; one that is known already is left as it is."""
        if answer.name in self._answers:
            return
        self._answers[answer.name] = answer
        if answer.service in self._by_user and answer.key:
            self._of_user.setdefault(answer.key, deque(maxlen=_BY_USER)).append(answer.name)
        self._count(answer).update(answer.items)
        self._forget(answer.at)

    def restore(self, earlier: Iterable[ShownAnswer]) -> None:
        """Puts answers of before this process before those that came meanwhile."""
        meanwhile = list(self._answers.values())
        self.clear()
        for answer in (*sorted(earlier, key=lambda answer: answer.at), *meanwhile):
            self.show(answer)

    def clear(self) -> None:
        """Forgets all."""
        self._answers.clear()
        self._of_user.clear()
        self._products.clear()

    def label(self, interaction: Interaction, at: int) -> Label | None:
        """What the interaction says of an answer; None if it is about none, or says what was said before.

        `at`: when it happened, epoch milliseconds.
        """
        for name in self._named(interaction):
            answer = self._answers.get(name)
            if answer is None or interaction.item_id not in answer.items:
                continue
            if not -_EARLY_MS <= at - answer.at <= self._keep_ms:
                continue
            said = (interaction.item_id, interaction.event)
            if said in answer.said:
                return None
            self._note(answer, interaction.event)
            answer.said.add(said)
            return Label(
                request_id=answer.request_id, service=answer.service, model=answer.model,
                user_id=interaction.user_id, item_id=interaction.item_id,
                position=answer.items.index(interaction.item_id) + 1, shown=len(answer.items),
                event=interaction.event, shown_at=answer.at, at=at, value=interaction.value,
            )  # fmt: skip
        return None

    def _named(self, interaction: Interaction) -> Iterator[Name]:
        if interaction.request_id:
            yield from ((service, interaction.request_id) for service in self._services)
        else:
            yield from reversed(self._of_user.get(interaction.user_id.encode(errors="replace"), ()))

    def _note(self, answer: ShownAnswer, event: str) -> None:
        telemetry.FEEDBACK.labels(answer.service, answer.model, event if event in _EVENTS else "other").inc()
        if not answer.said:
            telemetry.ANSWERS_HIT.labels(answer.service, answer.model).inc()

    def _count(self, answer: ShownAnswer) -> Counter[str]:
        return self._products.setdefault((answer.service, answer.model), Counter())

    def _forget(self, now: int) -> None:
        while self._answers:
            name, oldest = next(iter(self._answers.items()))
            if len(self._answers) <= self._most and now - oldest.at <= self._keep_ms:
                return
            del self._answers[name]
            self._forget_products(oldest)
            self._forget_user(oldest)

    def _forget_products(self, oldest: ShownAnswer) -> None:
        products = self._count(oldest)
        products.subtract(oldest.items)
        for item_id in oldest.items:
            if products[item_id] <= 0:
                del products[item_id]

    def _forget_user(self, oldest: ShownAnswer) -> None:
        names = self._of_user.get(oldest.key)
        if names and names[0] == oldest.name:
            names.popleft()
        if names is not None and not names:
            del self._of_user[oldest.key]

    def measure(self) -> None:
        """Exports how many different products each version has shown in the time that is remembered."""
        for (service, model), products in self._products.items():
            telemetry.PRODUCTS_SHOWN.labels(service, model).set(len(products))
