"""What is done about a process that died: its transaction is ended, and what it was computing is marked."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import structlog

from consumers.messages import Exited
from consumers.process import suspects_file
from consumers.service import Service
from consumers.supervision.member import Member
from consumers.suspects import Suspects
from standfast import telemetry
from standfast.child import signal_name
from standfast.settings import Settings

_log = structlog.get_logger()


class Aftermath:
    """One service's; belongs to the supervisor's asyncio loop, and nothing here blocks it."""

    def __init__(self, service: Service, settings: Settings) -> None:
        self._service = service
        self._settings = settings
        self._threads = ThreadPoolExecutor(8, thread_name_prefix=f"fence-{service.name}")
        self._suspects = Suspects(suspects_file(service))
        self._being_fenced: set[str] = set()

    def prepare(self, member: Member) -> None:
        """Connects, in the background, what will fence this process when it dies."""
        if self._settings.workers.delivery == "exactly_once":
            self._threads.submit(member.arm, self._settings, self._service)

    def fence(self, member: Member) -> None:
        """Fences a dead process's transactional id in the background; its slot is free again afterwards."""
        if member.fence is None:
            return
        self._being_fenced.add(member.slot)
        future = self._threads.submit(member.fence.fence)
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._being_fenced.discard, member.slot))

    def is_being_fenced(self, slot: str) -> bool:
        """Whether a dead process's slot must not be used again yet."""
        return slot in self._being_fenced

    def blame(self, member: Member) -> None:
        """Marks what was being computed when the process died."""
        computing = member.ledger.read().computing
        if computing:
            _log.warning(
                "records were being computed when their worker died", worker=member.name, records=len(computing)
            )
            self._suspects.blame(computing)

    def record(self, event: Exited, *, expected: bool) -> None:
        """Logs and counts how a process ended."""
        reason = _why(event.status)
        telemetry.RESTARTS.labels(self._service.name, reason).inc()
        (_log.info if expected else _log.warning)("process ended", slot=event.slot, pid=event.pid, reason=reason)

    def close(self) -> None:
        """Drops what has not begun; returns at once."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _why(status: int) -> str:
    if status == 0:
        return "stopped"
    if status < 0:
        return signal_name(-status)
    return "failed"
