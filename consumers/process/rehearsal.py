"""Computes one made-up request in a standby: the first request in a fork takes 8 ms longer than the next.

A fork shares its parent's memory, but its first access to each page costs a page fault: some 200 of them around the
model. A standby takes them before a request waits.
"""

from __future__ import annotations

import time
from typing import Any

from consumers.requests.admission import Admission, Admitted, Origin
from consumers.requests.answers import Answers
from consumers.service import Service
from models.base import Model
from standfast.core.services import spec_of


def rehearse(service: Service, model: Model[Any], admission: Admission, answers: Answers) -> None:
    """Decodes, computes and encodes the service's sample request; nothing is produced or counted."""
    now_ms = int(time.time() * 1000)
    origin = Origin(service.requests, 0, 0, now_ms, None, spec_of(service.name).rehearsal, [])
    decision = admission.decide(origin)
    if isinstance(decision, Admitted):
        answers.served(decision, model.predict([decision.query])[0])
