"""The processes of one service, as `standfast status` shows them."""

from __future__ import annotations

from collections.abc import Iterable

from consumers.service import Service
from consumers.supervision.identities import WorkerIdentities
from consumers.supervision.member import Member
from standfast.core.status import WorkerStatus


def rows(service: Service, members: Iterable[Member], identities: WorkerIdentities) -> list[WorkerStatus]:
    """Every process, workers first, and the vacant identities."""
    processes = [_row(service, member, identities.restarts(member.identity)) for member in members if member.pid]
    vacant = [
        WorkerStatus(
            id=identity,
            pid=0,
            service=service.name,
            group=service.group,
            role="active",
            state="backing_off" if identities.backs_off(identity) else "starting",
        )
        for identity in identities.vacant
    ]
    return sorted(processes + vacant, key=lambda row: (row.role, row.id))


def _row(service: Service, member: Member, restarts: int) -> WorkerStatus:
    return WorkerStatus(
        id=member.identity or member.slot,
        pid=member.pid,
        service=service.name,
        group=service.group,
        role="active" if member.identity else "standby",
        state=member.state,
        model=member.model,
        partitions=member.partitions,
        restarts=restarts,
        failing=member.failing,
        waiting=member.waiting,
    )
