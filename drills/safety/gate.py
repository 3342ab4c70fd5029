"""What stands between a command and a drill: a signature, the lever, windows, limits, a second name."""

from __future__ import annotations

import time
from collections.abc import Sequence

from consumers.requests.admission import Origin
from consumers.service import Service
from drills.control.commands import Received
from drills.running.plan import Plan
from drills.safety import lever
from drills.safety.approvals import Approvals
from drills.safety.limits import Radius, Victims, approval_needed, radius, refuse_beyond
from drills.safety.signatures import Signatures
from drills.safety.windows import refuse_if_blocked
from standfast.core.errors import DrillRejected
from standfast.core.settings import Settings
from standfast.core.status import SystemStatus


class Gate:
    """The decisions on one command after the other; each refusal is a DrillRejected with its reason."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.drills
        self._signatures = Signatures(settings.drills.keys)
        self.approvals = Approvals(settings.drills.approve_within_s)

    def authentic(self, command: Received, origin: Origin) -> Received:
        """The command, with the name of its key where signatures are asked for."""
        return self._signatures.checked(command, origin) if self._settings.signatures else command

    def refuse_now(self, plan: Plan) -> None:
        """Refuses every drill while the lever is engaged or a blocked window is open, or opens before its end."""
        if reason := lever.engaged():
            raise DrillRejected(reason)
        refuse_if_blocked(self._settings.blocked, time.time(), plan.duration_s)

    def refuse_victims(
        self, victims: Victims, others: Sequence[Victims], status: SystemStatus, service: Service
    ) -> Radius:
        """Refuses victims that another drill has, and more victims than all drills together may have."""
        taken = {process for other in others for process in other.target.processes}
        if both := taken & set(victims.target.processes):
            raise DrillRejected(f"another drill strikes {', '.join(sorted(process.id for process in both))} already")
        seen = radius([victims, *others], status, service)
        refuse_beyond(self._settings, seen)
        return seen

    def approval_needed(self, seen: Radius) -> str:
        """Why a second name must approve; "" if it need not."""
        return approval_needed(self._settings, seen)

    def in_words(self, seen: Radius, why_approved: str) -> list[str]:
        """The limits that apply to a drill, for a dry run."""
        settings = self._settings
        share = f"{seen.share:.0%} of the service's workers of {settings.service_share:.0%} allowed"
        limits = [f"would strike {seen.processes} processes, {share}, with {settings.at_once} drills at once"]
        if settings.blocked:
            limits.append(f"no blocked window is open: {', '.join(settings.blocked)}")
        if why_approved:
            limits.append(f"a second name would have to approve it: {why_approved}")
        return limits
