"""Settings: flags win over environment over file; wrong settings are named; secrets are never shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr

from standfast.core import clients
from standfast.core.errors import SettingsError
from standfast.core.sections import Section
from standfast.core.services import NAMES
from standfast.core.settings import Settings, environment, load

Write = Callable[[str], Path]
_HOSTILE = "s3cr3t-never-shown"


@pytest.fixture(autouse=True)
def _alone(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Removes the settings of the machine that runs the tests."""
    import os

    for name in os.environ:
        if name.startswith(("STANDFAST_", "KAFKA_", "SCHEMA_REGISTRY")) and name != "STANDFAST_HOME":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def _write(text: str) -> Path:
        path = tmp_path / "given.toml"
        path.write_text(text)
        return path

    return _write


maybe = st.none() | st.integers(1, 256)


@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(flag=maybe, variable=maybe, in_file=maybe)
def test_flags_win_over_environment_over_file(
    flag: int | None, variable: int | None, in_file: int | None, write: Write
) -> None:
    path = write(f"[search]\nworkers = {in_file}\n" if in_file else "")
    with pytest.MonkeyPatch.context() as patch:
        if variable:
            patch.setenv("STANDFAST_SEARCH__WORKERS", str(variable))
        loaded = load(path, {"search": {"workers": flag}})
    assert loaded.search.workers == (flag or variable or in_file or Settings().search.workers)


def test_sections_of_several_sources_are_merged(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STANDFAST_SEARCH__BATCH", "7")
    search = load(write("[search]\nmax_k = 9\n"), {"search": {"workers": 5}}).search
    assert (search.workers, search.batch, search.max_k) == (5, 7, 9)


def test_the_file_is_found_here_and_in_the_state_folder(state: Path, tmp_path: Path) -> None:
    state.mkdir(parents=True, exist_ok=True)
    (state / "standfast.toml").write_text("[search]\nworkers = 3\n")
    assert load().search.workers == 3
    (tmp_path / "standfast.toml").write_text("[search]\nworkers = 4\n")
    assert load().search.workers == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[search]\nworkers = 0\n", r"search\.workers = 0: .*it must be 1 to 256, or auto"),
        ("[search]\nmin_workers = 4\nmax_workers = 3\n", r"search\.max_workers = 3: .*min_workers, which is 4"),
        ("[search]\nworkrs = 2\n", r"search\.workrs: no such setting; did you mean workers"),
        ("[serach]\nworkers = 2\n", r"serach: no such setting; did you mean search"),
        ("[kafka]\nbrokers = 2\n", r"kafka\.brokers = 2: .*3"),
        ("[log]\nlevel = 'loud'\n", r"log\.level = 'loud': .*'debug', 'info'"),
        ("[search\n", r"given\.toml: "),
    ],
)
def test_a_wrong_key_or_value_is_named_with_what_would_be_right(text: str, message: str, write: Write) -> None:
    with pytest.raises(SettingsError, match=message):
        load(write(text))


def test_every_wrong_key_is_named_at_once(write: Write) -> None:
    with pytest.raises(SettingsError, match=r"search\.workers.*; recommend\.batch"):
        load(write("[search]\nworkers = 0\n[recommend]\nbatch = 0\n"))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("STANDFAST_SERACH__WORKERS", "2", "STANDFAST_SERACH__WORKERS: no such setting; did you mean"),
        ("STANDFAST_SEARCH__WORKERS", "many", r"search\.workers = 'many'"),
        ("STANDFAST_SEARCH", "2", "STANDFAST_SEARCH: no such setting; did you mean STANDFAST_SEARCH__"),
    ],
)
def test_a_wrong_variable_is_named(name: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=message):
        load()


def test_the_variables_of_the_kafka_world(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "broker.example:9092")
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("KAFKA_HEAP_OPTS", "-Xmx1g")
    monkeypatch.setenv("SCHEMA_REGISTRY_URL", "http://registry.example")
    loaded = load()
    assert loaded.kafka.bootstrap_servers == "broker.example:9092"
    assert {key: value.get_secret_value() for key, value in loaded.kafka.client.items()} == {
        "security.protocol": "SASL_SSL"
    }
    assert loaded.schema_registry_url is not None


def test_secrets_are_masked_wherever_settings_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", _HOSTILE)
    monkeypatch.setenv("SCHEMA_REGISTRY_URL", f"http://user:{_HOSTILE}@registry.example")
    loaded = load()
    for shown in (repr(loaded), str(loaded), loaded.model_dump_json(), str(loaded.model_dump())):
        assert _HOSTILE not in shown


@pytest.mark.parametrize(
    "text",
    [
        f"schema_registry_url = ['{_HOSTILE}']\n",
        f"[kafka.client]\n'sasl.password' = ['{_HOSTILE}']\n",
        f"[kafka]\nclient = '{_HOSTILE}'\n",
    ],
)
def test_secrets_are_masked_in_errors(text: str, write: Write) -> None:
    with pytest.raises(SettingsError) as caught:
        load(write(text))
    assert _HOSTILE not in str(caught.value)


def test_secrets_are_masked_in_errors_about_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STANDFAST_KAFKA__CLIENT", f'{{"sasl.password": "{_HOSTILE}"')
    with pytest.raises(SettingsError) as caught:
        load()
    assert _HOSTILE not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KAFKA_PORT", "tcp://10.0.0.1:9092"),
        ("KAFKA_SERVICE_HOST", "10.0.0.1"),
        ("KAFKA_SERVICE_PORT", "9092"),
        ("KAFKA_SERVICE_PORT_TCP_CLIENT", "9092"),
        ("KAFKA_PORT_9092_TCP", "tcp://10.0.0.1:9092"),
        ("KAFKA_PORT_9092_TCP_ADDR", "10.0.0.1"),
        ("KAFKA_PORT_9092_TCP_PROTO", "tcp"),
        ("KAFKA_UI_SERVICE_HOST", "10.0.0.2"),
        ("KAFKA_UI_PORT_8080_TCP_PORT", "8080"),
    ],
)
def test_what_kubernetes_sets_for_a_service_named_kafka_is_no_setting(
    state: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert load().kafka.client == {}


@pytest.mark.parametrize(
    ("servers", "plain", "protocol"),
    [
        ("PLAINTEXT://a:1", "a:1", None),
        ("a:1, b:2,", "a:1,b:2", None),
        ("SASL_SSL://a:1,SASL_SSL://b:2", "a:1,b:2", "SASL_SSL"),
        ("ssl://[::1]:1", "[::1]:1", "SSL"),
    ],
)
def test_an_address_may_name_its_protocol(
    state: Path, monkeypatch: pytest.MonkeyPatch, servers: str, plain: str, protocol: str | None
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", servers)
    kafka = load().kafka
    assert kafka.bootstrap_servers == plain
    assert {key: value.get_secret_value() for key, value in kafka.client.items()} == (
        {"security.protocol": protocol} if protocol else {}
    )


def test_two_protocols_are_refused(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "PLAINTEXT://a:1")
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SSL")
    with pytest.raises(SettingsError, match="KAFKA_SECURITY_PROTOCOL differ: PLAINTEXT, SSL"):
        load()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("KAFKA_SECURITY_PROTOCOL", "SASL", r"security\.protocol"),
        ("KAFKA_SOCKET_TIMEOUT_MS", "soon", r"socket\.timeout\.ms"),
        ("KAFKA_SOCKET_TIMEOUT_MS", "-7", r"socket\.timeout\.ms"),
        ("KAFKA_NO_SUCH", "x", r"no\.such"),
    ],
)
def test_what_librdkafka_refuses_is_said_before_anything_starts(
    state: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=rf"refuses a setting: .*{message}.*KAFKA_<NAME>"):
        clients.check(load())
    monkeypatch.setenv(name, "plaintext" if "PROTOCOL" in name else "1000")
    if name != "KAFKA_NO_SUCH":
        clients.check(load())


# A value other than the default for each key whose value is no plain number; numbers are increased by 1.
_OTHER: dict[str, object] = {
    "kafka.bootstrap_servers": "kafka:9092",
    "kafka.brokers": 3,
    "kafka.topic_prefix": "eu.",
    "kafka.client": {"sasl.password": SecretStr(_HOSTILE)},
    "workers.host": "east",
    "workers.delivery": "at_least_once",
    "canary.max_errors": 0.5,
    "canary.min_overlap": 0.5,
    "drills.service_share": 0.5,
    "drills.hosts": 2,
    "drills.blocked": ("Fri 16:00-Mon 08:00 Europe/Berlin", "22:00-06:00 UTC"),
    "drills.approve_above_processes": 1,
    "drills.approve_above_share": 0.5,
    "drills.approve_above_hosts": 1,
    "drills.signatures": True,
    "drills.keys": "/keys",
    "metrics.host": "::1",
    "console.host": "::1",
    "console.names": ("console.example.org",),
    "console.certificate": "/tls/chain.pem",
    "console.key": "/tls/key.pem",
    "log.level": "debug",
    "log.format": "json",
    "search.encoder": "intfloat/multilingual-e5-small",
    **{f"{name}.workers": "auto" for name in NAMES},
    **{f"{name}.max_workers": 9 for name in NAMES},
    **{f"{name}.order": "newest" for name in NAMES},
    **{f"{name}.device": "cuda:1" for name in NAMES},
    **{f"{name}.precision": "float32" for name in NAMES},
}


def _changed(key: str, value: object) -> object:
    return not value if isinstance(value, bool) else _OTHER[key] if key in _OTHER else value + 1  # type: ignore[operator]


def test_a_child_process_loads_every_key_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    sections = {name: section for name, section in Settings() if isinstance(section, Section)}
    changed = {
        name: section.model_copy(update={key: _changed(f"{name}.{key}", value) for key, value in section})
        for name, section in sections.items()
    }
    given = Settings().model_copy(update={**changed, "schema_registry_url": SecretStr("http://registry:8081")})
    for name, value in environment(given).items():
        monkeypatch.setenv(name, value)
    assert load() == given
