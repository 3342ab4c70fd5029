"""One request gone through before there is any: in a fork the first pass takes 8 ms longer than the next.

A fork has all of its parent's memory, but the first touch of each page costs it a fault: some 200 of them in what lies
around the model. A standby pays them while nobody waits.
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
    """Decodes, computes and encodes one request that nobody sent; it is not counted."""
    now_ms = int(time.time() * 1000)
    origin = Origin(service.requests, 0, 0, now_ms, None, spec_of(service.name).rehearsal, [])
    decision = admission.decide(origin)
    if isinstance(decision, Admitted):
        answers.served(decision, model.predict([decision.query])[0])
