"""Workers and CUDA devices: which devices there are, which worker gets which, and that it sees no other."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence

import pytest
import torch

from consumers.channel.messages import FROM_NURSERY, Fork, Forked, receive
from consumers.process import nursery
from consumers.process.devices import freest, visible
from consumers.service import service
from models.canary import Versions
from standfast.core.errors import ModelError
from standfast.core.settings import Settings


@pytest.mark.parametrize(
    ("device", "named", "wanted"),
    [
        ("auto", None, ["0", "1", "2"]),
        ("cuda", "", ["0", "1", "2"]),
        ("cuda:2", None, ["2"]),
        ("cuda", "5, 3", ["5", "3"]),
        ("cuda:1", "5,3", ["3"]),
        ("cuda:0", "GPU-8932f937,MIG-1", ["GPU-8932f937"]),
    ],
)
def test_the_devices_for_workers(
    device: str, named: str | None, wanted: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert visible(device) == wanted


@pytest.mark.parametrize(("device", "count"), [("cuda:3", 3), ("cuda", 0)])
def test_a_device_that_is_not_there_is_one_clear_error(
    device: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with pytest.raises(ModelError, match=f"there are {count} CUDA devices"):
        visible(device)


def test_workers_and_standbys_are_spread_over_the_devices() -> None:
    taken: list[str] = []
    for _ in range(5):
        taken.append(freest(["0", "1", "2"], taken))
    assert taken == ["0", "1", "2", "0", "1"]
    taken.remove("0")
    assert freest(["0", "1", "2"], taken) == "0"


def test_a_worker_sees_its_own_device_only(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = "import os, sys; os.write(int(sys.argv[1]), os.environ['CUDA_VISIBLE_DEVICES'].encode())"
    monkeypatch.setattr(
        nursery, "command", lambda _name, _version, descriptor: [sys.executable, "-c", shown, str(descriptor)]
    )
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,3")
    read, write = os.pipe()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        made = nursery.Nursery(theirs, service("search", Settings()), None, Settings(), Versions(1), ["3"])
        made._make(Fork("s1", 2), write)
        assert isinstance(receive(ours, FROM_NURSERY), Forked)
    assert os.read(read, 100) == b"3"
    os.close(read)
