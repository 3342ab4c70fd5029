"""The table of services: everything that a service names exists, and an unknown service is an error."""

from __future__ import annotations

import inspect

import pytest

from schemas.codec import Codec
from schemas.records import ServiceRequest
from schemas.topics import BY_NAME
from standfast.core.errors import UsageError
from standfast.core.services import NAMES, TABLE, ServiceSpec, resolved, spec_of
from standfast.core.settings import Settings


@pytest.mark.parametrize("spec", TABLE.values(), ids=TABLE)
def test_what_a_service_names_is_there(spec: ServiceSpec) -> None:
    request = resolved(spec.request)
    assert issubclass(request, ServiceRequest)
    rehearsed, _ = Codec().decode(spec.rehearsal, request)
    made = resolved(spec.query)(rehearsed, spec.settings(), ())
    assert not isinstance(made, str), f"the rehearsal of {spec.name} is refused: {made}"
    assert list(inspect.signature(resolved(spec.model)).parameters) == ["folder", "label", "device"]
    assert len(inspect.signature(resolved(spec.training)).parameters) == 4
    generated = resolved(spec.asked)(())("r1", 3)
    assert isinstance(generated, request)
    assert (generated.request_id, generated.k) == ("r1", 3)


@pytest.mark.parametrize("name", NAMES)
def test_a_service_has_topics_and_a_table_of_settings(name: str) -> None:
    assert BY_NAME[f"{name}.requests"].value is resolved(TABLE[name].request)
    assert {f"{name}.results", f"{name}.requests.dlq", f"{name}.requests.bulk", f"{name}.results.bulk"} <= set(BY_NAME)
    assert Settings().service(name) == TABLE[name].settings()


def test_a_service_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(UsageError, match=r"'serach'; there are search, recommend"):
        spec_of("serach")


def test_a_key_for_all_services_is_changed_in_all() -> None:
    changed = Settings().for_all_services(workers=7)
    assert {changed.service(name).workers for name in NAMES} == {7}
    assert changed.service("search").batch == Settings().service("search").batch
