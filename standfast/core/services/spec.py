"""What is to be said of a service so that it is served, watched, drilled and measured."""

from __future__ import annotations

from dataclasses import dataclass

from standfast.core.sections import ServiceSettings


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """One service: a request topic, a result topic, a consumer group, a model.

    `request`, `query`, `model`, `training` and `asked` are `module:name`. They name

    - the record (`schemas.records.Record`) that is asked, which has `request_id` and `k`,
    - a function `(request, settings, known) -> query` that makes the model's query of it, or a text: why it is refused.
      `settings` are the service's own, `known` the item ids the user had, oldest first,
    - a function `(folder, label, device) -> models.base.Model` that loads a version,
    - a function that trains one (`models.training.TrainService`),
    - a function `(words) -> Callable[[request_id, k], request]` that makes the requests of a drill's own load: from
      these words, or from its own where there are none.

    `rank`: the place in lists. `key`: what its requests are keyed by. `rehearsal`: a request as JSON that a standby
    computes before it is ready. `histories`: whether answers depend on what users had.
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
