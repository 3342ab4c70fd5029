"""The lever's file, limits over all drills, and approvals."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

import pytest

from consumers.requests.admission import Origin
from consumers.service import service
from drills.control.commands import Received, received
from drills.faults.injector import Process, Target
from drills.running import answers
from drills.running.orders import Orders
from drills.running.underway import Underway
from drills.safety import lever
from drills.safety.approvals import Approvals
from drills.safety.lever_orders import moved_lever, restore_lever
from drills.safety.limits import Radius, Victims, approval_needed, radius, refuse_beyond
from schemas.codec import Codec
from standfast.core.errors import DrillRejected
from standfast.core.settings import DrillSettings, Settings
from standfast.core.status import SystemStatus, WorkerStatus
from tests.support.paper_orders import PaperOrders


def order(text: str) -> Received:
    return received(Origin("drills.control", 0, 7, 0, None, text.encode(), []), "r@t", Codec())


def test_the_lever_is_a_file_and_anything_unreadable_in_it_stops_drills(state: Path) -> None:
    assert lever.engaged() is None
    assert not lever.is_known()
    file = lever.set_lever(engage=True, reason="sale", by="ann")
    assert lever.engaged() == "the lever is engaged by ann: sale; release it: standfast drill stop-all --release"
    lever.set_lever(engage=False)
    assert lever.engaged() is None
    assert lever.is_known()
    for content in (b"", b"by hand", b"\xff", b"[" * 10_000, b'{"engaged": "no"}'):
        file.write_bytes(content)
        assert "the lever is engaged" in (lever.engaged() or "")
    with pytest.raises(DrillRejected, match="nothing was injected: the lever is engaged"):
        lever.refuse_if_engaged()
    file.unlink()
    file.mkdir()
    assert "cannot be read" in (lever.engaged() or "")


def test_a_fresh_state_folder_takes_the_lever_from_the_outcome_stream(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    underway = Underway(Settings(), cast("Orders", PaperOrders(Settings())), print)
    engaged = moved_lever(order('{"lever": "engaged", "reason": "sale", "requested_by": "ann"}'), underway)
    assert (engaged.phase, engaged.verdict, engaged.drill) == ("completed", "passed", "lever")
    assert lever.engaged()
    released = moved_lever(order('{"lever": "released"}'), underway)
    assert lever.engaged() is None
    restore_lever([engaged])
    assert lever.engaged() is None, "the file knows better"
    monkeypatch.setenv("STANDFAST_HOME", str(tmp_path / "another"))
    restore_lever([engaged, released])
    assert lever.engaged() is None
    restore_lever([released, engaged])
    assert "by ann: sale" in (lever.engaged() or "")


def test_a_lever_whose_file_cannot_be_written_is_refused_with_the_reason(state: Path) -> None:
    (state / "drills").mkdir(parents=True)
    (state / "drills" / "lever").mkdir()
    with pytest.raises(DrillRejected, match="the lever's file cannot be written"):
        moved_lever(
            order('{"lever": "released"}'), Underway(Settings(), cast("Orders", PaperOrders(Settings())), print)
        )


def worker(name: str) -> WorkerStatus:
    return WorkerStatus(
        id=name, service="search", pid=os.getpid(), group="g", role="active", state="serving", model="m", partitions={}
    )


def test_all_drills_together_strike_no_more_than_their_limits() -> None:
    status = SystemStatus(
        state="ready",
        at=0,
        supervisor_pid=0,
        bootstrap_servers="",
        metrics_url="",
        workers=[worker(f"search-{number}") for number in range(4)],
    )
    search = service("search", Settings())
    one, two = (Target("worker", (Process(f"search-{number}", number + 1, 0),), ((number,),)) for number in range(2))
    alone = radius([Victims("a", one)], status, search)
    both = radius([Victims("a", one), Victims("a", two)], status, search)
    assert (alone, both) == (Radius(1, 0.25, 1), Radius(2, 0.5, 1))
    assert radius([Victims("a", one), Victims("b", two)], status, search).hosts == 2
    limits = DrillSettings(service_share=0.3, approve_above_processes=1, approve_above_share=0.9)
    refuse_beyond(limits, alone)
    with pytest.raises(DrillRejected, match=r"50% of the service's workers .* drills.service_share is 0.3"):
        refuse_beyond(limits, both)
    assert approval_needed(limits, alone) == ""
    assert "drills.approve_above_processes = 1 (2)" in approval_needed(limits, both)
    assert "approve_above_share = 0.4" in approval_needed(DrillSettings(approve_above_share=0.4), both)
    with pytest.raises(DrillRejected, match=r"2 hosts would be struck .* drills.hosts is 1"):
        refuse_beyond(DrillSettings(hosts=1), Radius(2, 0.1, 2))


def test_only_another_name_approves_and_only_once() -> None:
    approvals = Approvals(60)
    asked = order('{"drill": "worker-kill", "drill_id": "d1", "requested_by": "ann"}')
    assert "another than 'ann' approves it" in approvals.wait(asked)
    for text, why in (
        ('{"approve": "d2", "requested_by": "bob"}', "there is no drill 'd2' that waits"),
        ('{"approve": "d1"}', "say who approves"),
        ('{"approve": "d1", "requested_by": "ann"}', "another name must approve it"),
    ):
        with pytest.raises(DrillRejected, match=why):
            approvals.approved(order(text))
    assert approvals.approved(order('{"approve": "d1", "requested_by": "bob"}')) is asked
    with pytest.raises(DrillRejected, match="there is no drill 'd1'"):
        approvals.approved(order('{"approve": "d1", "requested_by": "bob"}'))
    with pytest.raises(DrillRejected, match="say who asks for it"):
        approvals.wait(order('{"drill": "worker-kill", "drill_id": "d3"}'))


def test_who_waits_too_long_waits_no_longer() -> None:
    approvals = Approvals(1e-9)
    asked = order('{"drill": "worker-kill", "drill_id": "d1", "requested_by": "ann"}')
    approvals.wait(asked)
    assert approvals
    assert approvals.expired() == [asked]
    assert not approvals
    assert answers.refusal(asked, "d1", "why").requested_by == "ann"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"lever": "pulled"}', "lever = 'pulled': give engaged or released"),
        ('{"lever": "engaged", "drill": "worker-kill"}', "this one has lever and drill"),
        ('{"approve": "a", "abort": "a"}', "this one has approve and abort"),
        ('{"lever": 1}', "Expected `str | null`"),
        ('{"reason": "so"}', "this one has none of"),
    ],
)
def test_an_order_that_cannot_be_meant_is_refused(text: str, why: str) -> None:
    assert why in (order(text).refused or "")
