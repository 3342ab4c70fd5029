"""The table of services: a service is one file here that says what it is, as `SPEC`.

Everything else loops over the table: topics, settings, models, workers, status, drills. What belongs to a service and
lies further up (its model, its query) is named as `module:name`, and is imported by whoever needs it: this package is
read by all and imports none of them.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Any

from standfast.core.services.spec import ServiceSpec

__all__ = ["NAMES", "TABLE", "ServiceSpec", "resolved", "spec_of"]


def _listed() -> dict[str, ServiceSpec]:
    """The services of all files here, by name, in the order they are to be shown in."""
    modules = [import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    specs: list[ServiceSpec] = [module.SPEC for module in modules if hasattr(module, "SPEC")]
    return {spec.name: spec for spec in sorted(specs, key=lambda spec: (spec.rank, spec.name))}


def spec_of(name: str) -> ServiceSpec:
    """The service of that name; raises UsageError with those there are."""
    if name not in TABLE:
        from standfast.core.errors import UsageError

        raise UsageError(f"there is no service {name!r}; there are {', '.join(NAMES)}")
    return TABLE[name]


def resolved(reference: str) -> Any:
    """What `module:name` names."""
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)


TABLE: dict[str, ServiceSpec] = _listed()
NAMES: tuple[str, ...] = tuple(TABLE)
