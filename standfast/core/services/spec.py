"""The description of a service: all that is needed to serve, watch, drill and measure it."""

from __future__ import annotations

from dataclasses import dataclass

from standfast.core.sections import ServiceSettings


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """One service: a request topic, a result topic, a consumer group, a model.

    `request`, `query`, `model`, `training` and `asked` are references of the form `module:name`:

    - `request`: the record type of requests (`schemas.records.Record`), which has `request_id` and `k`;
    - `query`: a function `(request, settings, known) -> query` that returns the model's query, or a text that says why
      the request is refused; `settings` are the service's, `known` the item ids of the user's history, oldest first;
    - `model`: a function `(folder, label, device) -> models.base.Model` that loads a version;
    - `training`: a function that trains a version (`models.training.TrainService`);
    - `asked`: a function `(words) -> Callable[[request_id, k], request]` that makes the requests of a drill's load from
      these words, or from its own if there are none.

    `rank`: the position in lists. `key`: what requests are keyed by. `rehearsal`: a request, as JSON, that a standby
    computes before it is ready. `histories`: whether answers depend on the user's history.
    """

    name: str
    about: str
    key: str
    settings: type[ServiceSettings]
    request: str
    query: str
    model: str
    training: str
    asked: str
    rehearsal: bytes
    rank: int = 100
    histories: bool = False
