"""A nursery's workers are its parent's children: they outlive it, and end with the parent, even if they are stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from consumers.process import offspring
from tests.support.toys.toys import is_alive
from tests.waiting import wait_until

# Adopts what its child makes in the child's stead; prints both pids, then the adopted one's exit status.
_ADOPTER = """
import os, sys, time
from consumers.process import offspring
from standfast.core.processes.adopted import exit_status
from standfast.core.processes.parent_death import adopt_orphans

def life():
    os.write(1, b"lives\\n")
    time.sleep({life})
    return 7

adopt_orphans()
read, write = os.pipe()
nursery = os.fork()
if nursery == 0:
    os.write(write, b"%d" % offspring.fork("search-s2", life))
    time.sleep(600)
pid = int(os.read(read, 32))
os.write(1, b"%d %d\\n" % (nursery, pid))  # in one piece, which `print` is not if Python's output is unbuffered
while (status := exit_status(pid)) is None:
    time.sleep(0.01)
print(status, flush=True)
os.kill(nursery, 9)
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP, None])
def test_it_outlives_the_nursery_and_its_end_is_known(end: signal.Signals | None) -> None:
    with subprocess.Popen([sys.executable, "-c", _ADOPTER.format(life=0.5)], stdout=subprocess.PIPE) as adopter:
        nursery, pid = _begun(adopter)
        assert Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1] == str(adopter.pid)
        assert Path(f"/proc/{pid}/comm").read_text() == "search-s2\n"
        if end is not None:
            os.kill(nursery, end)
        assert adopter.stdout is not None
        assert adopter.stdout.readline() == b"7\n"


def test_it_ends_with_the_adopter_even_if_it_is_stopped() -> None:
    with subprocess.Popen([sys.executable, "-c", _ADOPTER.format(life=600)], stdout=subprocess.PIPE) as adopter:
        nursery, pid = _begun(adopter)
        os.kill(pid, signal.SIGSTOP)
        adopter.kill()
    os.kill(nursery, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), 20, what="the end of the stopped process")


def test_what_cannot_be_made_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fork

    def refused() -> int:
        if os.getpid() != parent:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return real()

    parent = os.getpid()
    monkeypatch.setattr(os, "fork", refused)
    with pytest.raises(OSError, match="Resource temporarily"):
        offspring.fork("search-s2", lambda: 0)
    monkeypatch.setattr(os, "fork", lambda: real() or os._exit(0))
    with pytest.raises(OSError, match="ended"):
        offspring.fork("search-s2", lambda: 0)


def test_the_helper_is_not_left_as_a_zombie() -> None:
    before = _children()
    offspring.fork("search-s2", lambda: time.sleep(0.1) or 0)  # type: ignore[func-returns-value]
    assert _children() == before


def _begun(adopter: subprocess.Popen[bytes]) -> tuple[int, int]:
    """The pids of the nursery and of what it has made, once that is tied to the adopter."""
    assert adopter.stdout is not None
    said = {adopter.stdout.readline(), adopter.stdout.readline()}
    nursery, pid = map(int, (said - {b"lives\n"}).pop().split())
    return nursery, pid


def _children() -> str:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text()
