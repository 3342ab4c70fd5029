"""A short soak: worker after worker is killed under a steady load of both services; no request is lost or doubled."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.failover.soak import soak
from tests.support.toys.toys import Toys

_SECONDS, _EVERY_S = 15.0, 2.0


def test_workers_of_both_services_die_one_after_the_other(
    broker: str, unique: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toys = Toys(tmp_path / "home", broker, f"{unique}.", ("search", "recommend"))
    monkeypatch.setenv("STANDFAST_HOME", str(toys.home))
    try:
        toys.start()
        result = soak(toys.settings, {"search": 30, "recommend": 60}, _SECONDS, _EVERY_S)
    finally:
        toys.stop()
    assert [served.service for served in result.served] == ["search", "recommend"]
    for served in result.served:
        assert (served.lost, served.doubled, served.out_of_order, served.not_ok) == (0, 0, 0, {})
        assert served.requests > served.rate * _SECONDS / 2
        assert served.calm_p99_ms, "there was a time without kills to compare with"
    assert sum(served.kills for served in result.served) >= 2
    assert result.workers == 4
    assert result.warm_up.seconds > 0
    for at in result.weights:
        assert set(at.each_mb) == {
            "supervisor",
            *(f"nursery of {served.service}" for served in result.served),
        }
        assert min(at.worker_mb, at.others_mb, *at.each_mb.values()) > 1
