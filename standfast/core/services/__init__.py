"""The table of services: each service is one module here, with its description in `SPEC`.

Everything else loops over the table: topics, settings, models, workers, status, drills. A service's model, query and
other code in higher layers is named as `module:name` and imported where it is needed: this package imports none of it.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Any

from standfast.core.services.spec import ServiceSpec

__all__ = ["NAMES", "TABLE", "ServiceSpec", "resolved", "spec_of"]


def _listed() -> dict[str, ServiceSpec]:
    """The services of all modules here, by name, in the order of lists."""
    modules = [import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    specs: list[ServiceSpec] = [module.SPEC for module in modules if hasattr(module, "SPEC")]
    return {spec.name: spec for spec in sorted(specs, key=lambda spec: (spec.rank, spec.name))}


def spec_of(name: str) -> ServiceSpec:
    """The service of that name; raises UsageError, which lists all names."""
    if name not in TABLE:
        from standfast.core.errors import UsageError

        raise UsageError(f"there is no service {name!r}; there are {', '.join(NAMES)}")
    return TABLE[name]


def resolved(reference: str) -> Any:
    """Imports the module of `module:name` and returns the object."""
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)


TABLE: dict[str, ServiceSpec] = _listed()
NAMES: tuple[str, ...] = tuple(TABLE)
