"""The schema registry is put behind the proxy where that is possible, at the same port each time."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from standfast.core.errors import SettingsError
from standfast.core.network import routes
from standfast.core.settings import DrillSettings, KafkaSettings, Settings
from standfast.proxy.registry import registry_behind_proxy
from standfast.system import run


def with_registry(url: str) -> Settings:
    return Settings(schema_registry_url=SecretStr(url))


def test_its_address_becomes_the_proxys_with_credentials_and_path(state: Path) -> None:
    state.mkdir()
    settings, (route,) = registry_behind_proxy(with_registry("http://me:secret@registry.example/schemas"))
    assert settings.schema_registry_url is not None
    assert settings.schema_registry_url.get_secret_value() == f"http://me:secret@127.0.0.1:{route.front}/schemas"
    assert (route.host, route.port) == ("registry.example", 80)
    routes.keep([route])
    assert registry_behind_proxy(with_registry("http://registry.example:8081"))[1][0].front == route.front


@pytest.mark.parametrize("url", ["https://registry.example", "registry.example"])
def test_one_with_a_certificate_of_its_own_stays_where_it_is(state: Path, url: str) -> None:
    del state  # an empty state folder
    assert registry_behind_proxy(with_registry(url)) == (with_registry(url), [])
    assert registry_behind_proxy(Settings()) == (Settings(), [])


def test_a_kafka_that_exists_cannot_be_put_behind_it(state: Path) -> None:
    del state
    kafka = KafkaSettings(bootstrap_servers="kafka:9092")
    with pytest.raises(SettingsError, match=r"drills.network = true, and KAFKA_BOOTSTRAP_SERVERS names an existing"):
        run(Settings(kafka=kafka, drills=DrillSettings(network=True)))
