"""Records that a fault itself writes, beside the drill's load: known by their headers, and answered like any other.

The headers come back on the answer and on the dead letter, so both can be found, and purged, by the drill's id. Their
request ids do not begin as those of the load do, so an answer to one of them is not an unexpected answer.
"""

from __future__ import annotations

from collections.abc import Callable

from consumers.service import Service
from drills.faults.injector import Aim
from schemas.codec import Codec, Encoding
from standfast.core.services import resolved, spec_of

DRILL_HEADER = "drill-id"
NUMBER_HEADER = "drill-record"
_codec = Codec()


def extra_headers(aim: Aim, number: int | str) -> dict[str, str | bytes | None]:
    """The headers of record `number` of one fault; the seed differs from fault to fault of a drill."""
    return {DRILL_HEADER: aim.drill_id, NUMBER_HEADER: f"{aim.seed}-{number}"}


def extra_requests(service: Service, aim: Aim) -> Callable[[int | str], bytes]:
    """Makes request number n, as JSON, which the service can answer."""
    make = resolved(spec_of(service.name).asked)(())
    return lambda number: _codec.encode(make(f"extra.{aim.drill_id}.{aim.seed}-{number}", 5), Encoding.JSON)
