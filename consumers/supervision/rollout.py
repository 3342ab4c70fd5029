"""Brings another model version to one service's workers, one after the other.

A second nursery loads the version (see `nurseries`), its standbys warm up, and then one old worker after the other
finishes its batch and hands its identity to one of them.
"""

from __future__ import annotations

import structlog

from consumers.channel.messages import StopOrder
from consumers.supervision.identities import WorkerIdentities
from consumers.supervision.member import Member
from consumers.supervision.members import Members
from consumers.supervision.nurseries import Nurseries

_log = structlog.get_logger()


class Rollout:
    """The roll-out of one service; call `step` whenever something has changed.

    Args:
        service: its name, for the log.
        drains_within_s: how long a worker may take to finish its batch and end, before it is killed.
    """

    def __init__(
        self, service: str, members: Members, identities: WorkerIdentities, nurseries: Nurseries, drains_within_s: float
    ) -> None:
        self._service = service
        self._members = members
        self._identities = identities
        self._nurseries = nurseries
        self._drains_within_s = drains_within_s

    @property
    def model(self) -> str:
        """The label of the model with which new processes are made; empty before it is loaded."""
        return self._nurseries.present.model if self._nurseries.present else ""

    @property
    def is_under_way(self) -> bool:
        """Whether another version is loading, or some processes still have another one."""
        return self._nurseries.next is not None or bool(self._nurseries.retiring)

    def step(self) -> None:
        """Takes one step towards having only processes of the present nursery; identities move one at a time."""
        present = self._nurseries.present
        if not self._nurseries.retiring or present is None:
            return
        old = [member for member in self._members if member not in present.members]
        for member in old:
            if member.identity is None and member.state != "draining":
                self._drain(member)
        moving = bool(self._identities.vacant) or any(member.identity and member.state != "serving" for member in old)
        serving = [member for member in old if member.state == "serving"]
        if serving and self._members.warm and not moving:
            self._drain(serving[0])
        self._nurseries.end_unused()
        if not self._nurseries.retiring:
            _log.info("all workers have the new model", service=self._service, model=self.model)

    def _drain(self, member: Member) -> None:
        member.drain(self._drains_within_s)
        member.send(StopOrder())
