"""SIGKILL of a role: the stream processor or the follower of the profiles."""

from __future__ import annotations

from drills.evidence.verdict import Finding
from drills.faults.injector import Kind
from drills.faults.one_process import OneProcessFault
from standfast.core.errors import ClusterError, DrillRejected

ROLES = ("stream", "profiles")


class KillRole(OneProcessFault):
    """Kills the process of the role that the target names. Requests must be answered meanwhile."""

    name = "role"
    what = "role"

    def victim(self) -> tuple[str, int]:
        """The role's process; raises DrillRejected if it does not run here."""
        role = self.aim.target.get("role", ROLES[0])
        if role not in ROLES:
            raise DrillRejected(f"target.role = {role!r:.100}: give {' or '.join(ROLES)}")
        running = {row.id: row.pid for row in self.system.status().roles if row.state == "running"}
        if role not in running:
            raise DrillRejected(f"{role} does not run on this machine; see: standfast status")
        return str(role), running[str(role)]

    def undone(self) -> Finding:
        """Whether the role runs in another process, and does its work there."""
        (victim,) = self.target.processes
        try:
            rows = {row.id: row for row in self.system.status().roles}
        except ClusterError as error:
            return Finding("unknown", f"whether {victim.id} is back is not known: {error}")
        row = rows.get(victim.id)
        if row is None or row.state != "running" or (row.pid == victim.pid and not self.is_spared):
            return Finding("failed", f"{victim.id} was not started again")
        if row.failing:
            return Finding("failed", f"{victim.id} runs again as process {row.pid}, and {row.failing}")
        return Finding("passed", f"{victim.id} runs again as process {row.pid}")


ROLE = Kind(
    "role",
    "SIGKILL of the stream processor or of the profiles' follower",
    KillRole,
    targets={"role": f"{' or '.join(ROLES)}; {ROLES[0]} if left out"},
)
