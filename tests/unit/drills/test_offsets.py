"""How long the ends of a partition are asked for again."""

from __future__ import annotations

from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException

from drills.evidence import offsets
from drills.evidence.offsets import bounds


class Slow:
    """A consumer whose answers take `each_s`: so many errors, then the offsets 3 and 7. Its clock is the module's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, code: int, errors: int, each_s: float) -> None:
        self._code, self._errors, self._each_s, self.now = code, errors, each_s, 100.0
        monkeypatch.setattr(offsets.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(offsets.time, "sleep", self._pass)

    def get_watermark_offsets(self, _place: Any, timeout: float) -> tuple[int, int]:
        self._pass(min(self._each_s, timeout))
        if self._errors:
            self._errors -= 1
            raise KafkaException(KafkaError(self._code))
        return 3, 7

    def _pass(self, seconds: float) -> None:
        self.now += seconds


def test_a_leader_that_is_late_is_waited_for_although_the_first_answer_took_all_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    late = Slow(monkeypatch, KafkaError.NOT_LEADER_FOR_PARTITION, 2, 10.0)
    assert bounds(cast(Consumer, late), "topic", 0) == (3, 7)


@pytest.mark.parametrize(("code", "most_s"), [(KafkaError.NOT_LEADER_FOR_PARTITION, 41), (KafkaError._TIMED_OUT, 21)])
def test_it_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch, code: int, most_s: float) -> None:
    never = Slow(monkeypatch, code, 1000, 10.0)
    with pytest.raises(KafkaException):
        bounds(cast(Consumer, never), "topic", 0)
    assert never.now - 100.0 <= most_s
