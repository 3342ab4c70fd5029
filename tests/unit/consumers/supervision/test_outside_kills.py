"""Which deaths count half, and that no record can kill workers for ever by it."""

from __future__ import annotations

from pathlib import Path
from signal import SIGKILL, SIGSEGV

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.serving.suspects import ALONE_FROM, DEATHS_ALLOWED, Suspects
from consumers.supervision import outside_kills
from consumers.supervision.outside_kills import OutsideKills
from standfast.core.processes import oom_kills as oom_module

RECORDS = ((0, 1), (0, 2))


class Kernel:
    """How many processes the kernel says it has killed for want of memory."""

    def __init__(self) -> None:
        self.count: int | None = 7


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()
    monkeypatch.setattr(outside_kills, "oom_kills", lambda: made.count)
    return made


@pytest.mark.usefixtures("kernel")
def test_a_kill_from_outside_is_known_in_either_order_of_the_news() -> None:
    kills = OutsideKills()
    assert kills.died(11, RECORDS) == ()
    assert kills.ended(11, -SIGKILL) == RECORDS
    assert kills.ended(12, -SIGKILL) == ()
    assert kills.died(12, RECORDS) == RECORDS
    assert kills.ended(11, -SIGKILL) == (), "each death is judged once"
    assert kills.ended(12, -SIGKILL) == ()


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("status", [-SIGSEGV, 1, 0])
def test_every_other_end_counts_in_full(status: int) -> None:
    kills = OutsideKills()
    kills.died(11, RECORDS)
    assert kills.ended(11, status) == ()
    kills.ended(12, status)
    assert kills.died(12, RECORDS) == ()


def test_after_a_kill_by_the_kernel_the_next_death_counts_in_full_and_later_ones_do_not(kernel: Kernel) -> None:
    kills = OutsideKills()
    kernel.count = 8
    kills.look()
    kills.died(11, RECORDS)
    assert kills.ended(11, -SIGKILL) == (), "the kill is counted before the process has ended"
    for _ in range(3):
        kills.look()
    kills.died(12, RECORDS)
    assert kills.ended(12, -SIGKILL) == RECORDS


def test_where_the_kernel_does_not_count_every_kill_counts_in_full(kernel: Kernel) -> None:
    kernel.count = None
    kills = OutsideKills()
    kills.died(11, RECORDS)
    assert kills.ended(11, -SIGKILL) == ()


@pytest.mark.usefixtures("kernel")
def test_processes_of_which_nothing_more_is_heard_are_forgotten() -> None:
    kills = OutsideKills()
    for pid in range(1000):
        kills.died(pid, RECORDS)
        kills.ended(10_000 + pid, -SIGKILL)
    assert len(kills._computing) <= 64
    assert len(kills._statuses) <= 64


@given(st.lists(st.booleans(), min_size=4, max_size=4))
def test_a_record_that_kills_every_worker_kills_four_at_most(
    tmp_path_factory: pytest.TempPathFactory, from_outside: list[bool]
) -> None:
    """However it kills them: half a death is the least that counts."""
    path = tmp_path_factory.getbasetemp() / "halves.json"
    path.unlink(missing_ok=True)
    died = 0
    for outside in from_outside:
        suspects = Suspects(path, ("search.requests", "search.requests.bulk"))
        if suspects.read().get((0, 1), 0) >= DEATHS_ALLOWED:
            break
        suspects.blame([(0, 1)])
        if outside:
            suspects.relieve([(0, 1)])
        suspects.save()
        died += 1
    assert Suspects(path, ("search.requests", "search.requests.bulk")).read()[0, 1] >= DEATHS_ALLOWED
    assert died == 2 if not any(from_outside[:2]) else died in {3, 4}


def test_one_kill_from_outside_makes_nobody_wait_for_records_computed_alone(tmp_path: Path) -> None:
    suspects = Suspects(tmp_path / "suspects.json", ("search.requests", "search.requests.bulk"))
    suspects.blame([(0, 1), (0, 2)])
    suspects.relieve([(0, 1), (9, 9)])
    deaths = suspects.read()
    assert deaths[0, 1] < ALONE_FROM <= deaths[0, 2]
    assert (9, 9) not in deaths, "it is committed meanwhile"


@pytest.mark.parametrize(
    ("text", "count"), [("pgfault 3\noom_kill 12\nnr_free 1\n", 12), ("oom_kill_x 3\n", None), (None, None)]
)
def test_the_kernels_count(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None, count: int | None
) -> None:
    if text is not None:
        (tmp_path / "vmstat").write_text(text)
    monkeypatch.setattr(oom_module, "_VMSTAT", tmp_path / "vmstat")
    assert oom_module.oom_kills() == count
