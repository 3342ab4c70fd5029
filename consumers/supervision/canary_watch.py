"""The canary of one service as its supervisor sees it: tells the workers what it does, and ends it when it is worse.

It ends at once in this host's workers, and then in the registry, which others follow. Until the registry has taken it,
that is tried again each time that the registry is followed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

import structlog
from msgspec.structs import replace

from consumers.channel.canary_figures import CanaryFigures
from consumers.channel.messages import CanaryOrder, CanaryReport
from consumers.supervision.canary_guard import Worse, words, worse
from consumers.supervision.member import Member
from models import registry
from models.canary import Canary, Versions
from standfast.core import telemetry
from standfast.core.errors import StandfastError
from standfast.core.settings import CanarySettings
from standfast.core.status import ServiceStatus

_log = structlog.get_logger()
_DEATHS = 2  # one may have been a kill from outside


class CanaryWatch:
    """On the supervisor's asyncio loop; nothing here blocks.

    Args:
        members: gives the service's processes.
    """

    def __init__(self, service: str, settings: CanarySettings, members: Iterable[Member]) -> None:
        self._service = service
        self._settings = settings
        self._members = members
        self._champion = 0
        self._canary: Canary | None = None
        self._over: Canary | None = None
        self._why = ""
        self._ending: threading.Thread | None = None
        self._figures: dict[Member, CanaryFigures] = {}
        self._deaths = 0
        self.refused = ""

    def follow(self, champion: int, canary: Canary | None, ended: str) -> Versions:
        """Follows the registry; returns the versions that workers are to have in memory."""
        if canary is not None and canary.is_same(self._over):
            self._keep_ended(canary)
            canary = None
        else:
            self._why = ended
        if (champion, canary) != (self._champion, self._canary):
            self._change(champion, canary)
        return Versions(champion, canary.version if canary is not None else None)

    @property
    def order(self) -> CanaryOrder:
        """The order that each worker of the service gets: the champion, and what its challenger does."""
        if self._canary is None:
            return CanaryOrder(self._champion)
        canary = self._canary
        return CanaryOrder(self._champion, canary.version, canary.share, canary.shadow, canary.since)

    def greet(self, member: Member) -> None:
        """A process is ready: it is told what its challenger does, if there is one."""
        if self._canary is not None:
            member.send(self.order)

    def heard(self, member: Member, report: CanaryReport) -> None:
        """A worker has reported; ends the canary if the challenger is worse than the champion."""
        canary = self._canary
        if canary is None or report.since != canary.since:
            member.send(self.order)  # it has not heard yet, or an order was lost
            return
        self._figures[member] = report.figures
        found = worse(self._total(), self._settings)
        if found is not None:
            self._end(canary, found)

    def died(self) -> None:
        """A worker has died while the challenger computed; ends the canary at the second time."""
        self._deaths += 1
        if self._canary is not None and self._deaths >= _DEATHS:
            self._end(self._canary, Worse("deaths", f"{self._deaths} workers died while it computed"))

    def told(self, status: ServiceStatus) -> ServiceStatus:
        """The status with what there is to say of champion and challenger."""
        champion, canary = f"{self._service}@{self._champion}" if self._champion else "", self._canary
        if canary is None:
            return replace(status, champion=champion, canary=self._why)
        refusal = self.refused and f"{self.refused}; the champion serves alone, and it is tried again"
        return replace(
            status,
            champion=champion,
            challenger=self._label(canary),
            share=canary.share,
            shadow=canary.shadow,
            canary=refusal or words(self._total()),
        )

    def _end(self, canary: Canary, found: Worse) -> None:
        moment = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        self._over, self._why = canary, f"{self._label(canary)} was ended at {moment}: {found.reason}"
        _log.error("the challenger is worse and was ended", service=self._service, reason=self._why)
        telemetry.CANARIES_ENDED.labels(self._service, found.kind).inc()
        self._change(self._champion, None)
        self._keep_ended(canary)

    def _change(self, champion: int, canary: Canary | None) -> None:
        before = self._canary
        self._champion, self._canary = champion, canary
        if before is not None and (canary is None or canary.version != before.version):
            telemetry.CANARY_SHARE.labels(self._service, str(before.version)).set(0)
        if canary is not None:
            telemetry.CANARY_SHARE.labels(self._service, str(canary.version)).set(canary.share)
            _log.info("a challenger is tried", service=self._service, model=self._label(canary), does=canary.about)
        if before is None or not before.is_same(canary):
            self._figures.clear()
            self._deaths, self.refused = 0, ""
        if before is not None or canary is not None:
            for member in self._members:
                member.send(self.order)

    def _keep_ended(self, canary: Canary) -> None:
        """Has the registry end it, in a thread: its lock may be held by a command for a while."""
        if self._ending is None or not self._ending.is_alive():
            self._ending = threading.Thread(target=self._write, args=(canary, self._why), daemon=True)
            self._ending.start()

    def _write(self, canary: Canary, reason: str) -> None:
        try:
            registry.end_canary(self._service, canary, reason)
        except (StandfastError, OSError) as error:
            _log.warning("the end of a canary is not kept yet", service=self._service, error=str(error))

    def _total(self) -> CanaryFigures:
        return sum(self._figures.values(), CanaryFigures())

    def _label(self, canary: Canary) -> str:
        return f"{self._service}@{canary.version}"
