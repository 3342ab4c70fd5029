"""The settings: one file, `standfast.toml`; flags win over environment over file.

Every key may also be given as `STANDFAST_SECTION__KEY`.
`KAFKA_BOOTSTRAP_SERVERS`, any other `KAFKA_*` client setting and `SCHEMA_REGISTRY_URL` name an existing cluster.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar, cast

from pydantic import AfterValidator, BaseModel, Field, SecretStr, ValidationError, create_model
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from standfast.core.errors import SettingsError
from standfast.core.home import home
from standfast.core.sections import Section, ServiceSettings
from standfast.core.services import TABLE
from standfast.core.surroundings import is_of_kubernetes

FILE_NAME = "standfast.toml"
_NOT_SETTINGS = {"STANDFAST_HOME", "STANDFAST_SLOT", "STANDFAST_STARTER"}
# KAFKA_* variables that Kafka's own shell scripts read; they are no client settings.
_NOT_CLIENT_SETTINGS = {
    "HOME",
    "OPTS",
    "HEAP_OPTS",
    "LOG4J_OPTS",
    "JMX_OPTS",
    "JMX_PORT",
    "GC_LOG_OPTS",
    "DEBUG",
}
# KAFKA_* variables that Kubernetes sets in every pod for a Service named `kafka` or `kafka-…`.
_KUBERNETES = re.compile(
    r"(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)
_SCHEME = re.compile(r"([A-Za-z_]+)://")
S = TypeVar("S", bound=ServiceSettings)


def _one_or_three(brokers: int) -> int:
    if brokers not in {1, 3}:
        raise ValueError("it must be 1, or 3 to survive the loss of one")
    return brokers


_SILENT = "seconds after which a broker of the embedded Kafka that answers nothing is killed and restarted; 0: never"


class KafkaSettings(Section):
    """Which Kafka, and how the topics are laid out in it."""

    bootstrap_servers: str = ""
    brokers: Annotated[int, AfterValidator(_one_or_three)] = 1
    partitions: int = Field(6, ge=1, le=1000)
    replication: int = Field(0, ge=0, le=7, description="0: three where there are three brokers, else one")
    silent_after_s: float = Field(60.0, ge=0, description=_SILENT)
    topic_prefix: str = Field("", pattern=r"^[a-zA-Z0-9.-]*$", max_length=100)
    client: dict[str, SecretStr] = Field(default_factory=dict, description="further librdkafka settings")

    @property
    def client_settings(self) -> dict[str, str]:
        """The user's client settings, secrets in clear text."""
        return {key: value.get_secret_value() for key, value in self.client.items()}


class WorkerSettings(Section):
    """How workers are watched and replaced."""

    host: str = Field("", pattern=r"^[a-zA-Z0-9_]{0,40}$", description="this host's name, where several serve together")
    delivery: Literal["exactly_once", "at_least_once"] = "exactly_once"
    session_timeout_ms: int = Field(
        6000, ge=1000, description="until Kafka misses a worker whose supervisor is gone too; several hosts: 1000"
    )
    hang_after_ms: int = Field(
        400,
        ge=200,
        description="a stopped worker is killed after this; one that runs, but with a late heartbeat, after 12.5 times",
    )
    stuck_after_s: float = Field(
        30.0, ge=1, description="a batch, or another step of its loop, that takes longer than this kills its worker"
    )
    stop_within_s: float = Field(10.0, gt=0, description="one deadline for the whole shutdown of a worker")
    check_weights_s: float = Field(
        10.0,
        ge=0,
        description="each process compares all of its model's weights with what it loaded, once in so long; 0: never",
    )


class ScalingSettings(Section):
    """When `workers = "auto"` adds workers and when it takes them away."""

    target_wait_ms: int = Field(
        1000,
        ge=10,
        description="more workers if the backlog would take longer than this, or than half of max_wait_ms",
    )
    up_after_s: float = Field(3.0, ge=0, le=3600, description="seconds without a break for which that must hold")
    down_after_s: float = Field(
        120.0,
        ge=1,
        le=3600,
        description="fewer workers if the remaining ones would be less than half busy for this long",
    )
    cooldown_s: float = Field(15.0, ge=1, le=3600, description="seconds after a change without another one")


_SLOWER = "a challenger most of whose calls take more than so many times the champion's ends; 0: never"


class CanarySettings(Section):
    """When a canary, or a shadow, ends by itself because the challenger is worse than the champion."""

    min_answers: int = Field(100, ge=1, description="the challenger's answers before it is judged by them")
    max_errors: float = Field(
        0.02, ge=0, le=1, description="largest share of its requests on which it may fail where the champion does not"
    )
    max_slowdown: float = Field(2.0, ge=0, description=_SLOWER)
    min_overlap: float = Field(
        0.0, ge=0, le=1, description="smallest mean overlap@10 of its answers with the champion's in the shadow; 0: any"
    )


class StreamSettings(Section):
    """The stream processor."""

    history: int = Field(50, ge=1, le=1000, description="interactions kept per user")
    window_s: float = Field(10.0, ge=1)
    feedback_s: float = Field(
        1800.0,
        ge=0,
        le=86_400,
        description="an interaction counts for an answer for so long; 0: labels are not written",
    )
    feedback_answers: int = Field(
        50_000, ge=1, le=1_000_000, description="answers that are remembered for it at most; half a kilobyte each"
    )


def _windows(texts: tuple[str, ...]) -> tuple[str, ...]:
    from standfast.core.windows import window

    for text in texts:
        window(text)
    return texts


class DrillSettings(Section):
    """The drill runner and the fault agents."""

    max_duration_s: float = Field(600.0, gt=0)
    lease_s: float = Field(
        10.0, ge=2, le=60, description="an agent undoes a fault when it has not heard of the drill runner for so long"
    )
    network: bool = Field(
        False,
        description="the embedded Kafka behind a proxy of ours, so that drills can disturb the network",
    )
    authorizer: bool = Field(
        False,
        description="the embedded Kafka with an authorizer, so that drills can take rights away",
    )
    at_once: int = Field(1, ge=1, le=20, description="so many drills may run at once; one more is rejected")
    service_share: float = Field(
        1.0, gt=0, le=1, description="all drills together strike at most this share of a service's workers at once"
    )
    hosts: int | None = Field(None, ge=1, description="all drills together strike at most so many hosts at once")
    blocked: Annotated[tuple[str, ...], AfterValidator(_windows)] = Field(
        (), description="when no drill runs, such as `Fri 16:00-Mon 08:00 Europe/Berlin` or `22:00-06:00 UTC`"
    )
    approve_above_processes: int | None = Field(
        None, ge=0, description="a drill that strikes more processes at once waits for a second name's approval"
    )
    approve_above_share: float | None = Field(
        None, ge=0, le=1, description="the same for the share of a service's workers"
    )
    approve_above_hosts: int | None = Field(None, ge=0, description="the same for hosts")
    approve_within_s: float = Field(600.0, gt=0, le=86400, description="after that it is rejected")
    signatures: bool = Field(False, description="only signed commands start drills; stopping needs no signature")
    keys: str = Field(
        "", description="folder of the public keys, NAME.pub each; empty: drills/keys in the state folder"
    )


class MetricsSettings(Section):
    """Where the metrics are served."""

    host: str = "127.0.0.1"
    port: int = Field(9464, ge=0, le=65535, description="0: any free port")


class ConsoleSettings(Section):
    """The pages to watch the system and to start drills."""

    enabled: bool = Field(True, description="`standfast up` serves it too, once all else works")
    host: str = Field("127.0.0.1", description="the address to listen on; another than this machine's own needs TLS")
    port: int = Field(9466, ge=0, le=65535, description="0: any free port")
    view_only: bool = Field(False, description="nothing can be started or stopped from its pages")
    names: tuple[str, ...] = Field((), description="the names, with the port, by which browsers may call it besides")
    certificate: str = Field("", description="file of the TLS certificate, with those that vouch for it; empty: no TLS")
    key: str = Field("", description="file of the certificate's private key")


class LogSettings(Section):
    """What is logged to stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "pretty"] = "auto"


if TYPE_CHECKING:
    _Services = BaseSettings
else:  # one table per service of the table of services
    _Services = create_model(
        "_Services", __base__=BaseSettings, **{spec.name: (spec.settings, spec.settings()) for spec in TABLE.values()}
    )


class Settings(_Services):
    """All settings; build with `load`."""

    model_config = SettingsConfigDict(env_prefix="STANDFAST_", env_nested_delimiter="__", extra="forbid", frozen=True)

    kafka: KafkaSettings = KafkaSettings()
    workers: WorkerSettings = WorkerSettings()
    scaling: ScalingSettings = ScalingSettings()
    canary: CanarySettings = CanarySettings()
    stream: StreamSettings = StreamSettings()
    drills: DrillSettings = DrillSettings()
    metrics: MetricsSettings = MetricsSettings()
    console: ConsoleSettings = ConsoleSettings()
    log: LogSettings = LogSettings()
    schema_registry_url: SecretStr | None = None

    def service(self, name: str) -> ServiceSettings:
        """The settings of the service of that name."""
        return cast(ServiceSettings, getattr(self, name))

    def for_all_services(self, **changes: object) -> Self:
        """A copy with these keys changed for every service."""
        return self.model_copy(update={name: self.service(name).model_copy(update=changes) for name in TABLE})

    def section(self, kind: type[S]) -> S:
        """The settings of the service whose settings class this is."""
        return cast(S, self.service(next(spec.name for spec in TABLE.values() if spec.settings is kind)))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The sources by precedence: flags, environment, file."""
        return (init_settings, env_settings, TomlConfigSettingsSource(settings_cls, _file_being_read))


_file_being_read: Path | None = None


def load(config: Path | None = None, flags: dict[str, dict[str, object]] | None = None) -> Settings:
    """The settings from flags, environment and file; raises SettingsError naming all wrong keys at once.

    Args:
        config: the file; without it `standfast.toml` in the current folder or the state folder, if there is one.
        flags: values from the command line, by section and key; None values are left out.
    """
    global _file_being_read  # noqa: PLW0603 - pydantic-settings builds its sources from a class method
    _refuse_unknown_environment()
    _file_being_read = _file(config)
    given: dict[str, Any] = {
        section: {key: value for key, value in keys.items() if value is not None}
        for section, keys in (flags or {}).items()
    }
    try:
        settings = Settings(**given)
    except ValidationError as error:
        raise SettingsError("; ".join(_explained(problem) for problem in error.errors())) from None
    except ValueError as error:  # a TOML file that is no TOML, an environment value that is no JSON
        raise SettingsError(f"{_file_being_read or 'the environment'}: {error}") from None
    return settings.model_copy(update=_outside(settings))


def _file(config: Path | None) -> Path | None:
    if config is not None:
        if not config.is_file():
            raise SettingsError(f"--config {config}: no such file; leave it out to run with the defaults")
        return config
    return next((path for path in (Path(FILE_NAME), home() / FILE_NAME) if path.is_file()), None)


def _outside(settings: Settings) -> dict[str, object]:
    """The settings in `KAFKA_*` and `SCHEMA_REGISTRY_URL`, which win over the file."""
    client = {key: SecretStr(value) for key, value in _client_environment().items()}
    servers = os.environ.get("KAFKA_BOOTSTRAP_SERVERS") or settings.kafka.bootstrap_servers
    client = {**settings.kafka.client, **client}
    kafka = settings.kafka.model_copy(update={"bootstrap_servers": _plain(servers, client), "client": client})
    url = os.environ.get("SCHEMA_REGISTRY_URL")
    return {"kafka": kafka, "schema_registry_url": SecretStr(url) if url else settings.schema_registry_url}


def _plain(servers: str, client: dict[str, SecretStr]) -> str:
    """The servers without schemes, as Java takes them; a scheme such as `SASL_SSL://` becomes `security.protocol`."""
    schemes = {match[1].upper() for match in _SCHEME.finditer(servers)}
    protocol = client.get("security.protocol")
    if len(schemes) > 1 or (schemes and protocol is not None and schemes != {protocol.get_secret_value().upper()}):
        both = [*sorted(schemes), *([protocol.get_secret_value()] if protocol else [])]
        raise SettingsError(f"KAFKA_BOOTSTRAP_SERVERS and KAFKA_SECURITY_PROTOCOL differ: {', '.join(both)}; name one")
    if schemes and protocol is None and schemes != {"PLAINTEXT"}:
        client["security.protocol"] = SecretStr(schemes.pop())
    return ",".join(_SCHEME.sub("", server.strip()) for server in servers.split(",") if server.strip())


def _client_environment() -> dict[str, str]:
    variables = {key.removeprefix("KAFKA_"): value for key, value in os.environ.items() if key.startswith("KAFKA_")}
    ignored = _NOT_CLIENT_SETTINGS | {"BOOTSTRAP_SERVERS"}
    return {
        key.lower().replace("_", "."): value
        for key, value in variables.items()
        if key not in ignored and not key.startswith("JVM_") and not _KUBERNETES.fullmatch(key)
    }


def _refuse_unknown_environment() -> None:
    known = {f"STANDFAST_{section}".upper(): field for section, field in Settings.model_fields.items()}
    for name, value in os.environ.items():
        if not name.startswith("STANDFAST_") or name in _NOT_SETTINGS or is_of_kubernetes(name, value):
            continue
        section, _, key = name.partition("__")
        if section not in known or (not key and section != "STANDFAST_SCHEMA_REGISTRY_URL"):
            settings = [f"{s}__{k}".upper() for s in known for k in _keys_of(s.removeprefix("STANDFAST_").lower())]
            raise SettingsError(f"{name}: no such setting{_nearest(name, settings)}")


def _explained(problem: Any) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    section, _, key = where.partition(".")
    if problem["type"] == "extra_forbidden":
        near = _nearest(key, _keys_of(section)) if key else _nearest(section, list(Settings.model_fields))
        return f"{where}: no such setting{near}"
    shown = "(hidden)" if section == "schema_registry_url" or key.startswith("client") else repr(problem["input"])
    return f"{where} = {shown}: {problem['msg'][0].lower()}{problem['msg'][1:]}"


def _keys_of(section: str) -> list[str]:
    field = Settings.model_fields.get(section)
    kind = field.annotation if field else None
    return list(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else []


def _nearest(wrong: str, known: list[str]) -> str:
    close = difflib.get_close_matches(wrong, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known)}"


def _text(key: str, value: object) -> str:
    if key == "client":
        return json.dumps(
            {name: secret.get_secret_value() for name, secret in cast("dict[str, SecretStr]", value).items()}
        )
    return json.dumps(value) if isinstance(value, tuple) else str(value)


def environment(settings: Settings) -> dict[str, str]:
    """Variables that make a child process load exactly these settings. They may hold secrets."""
    variables = {"KAFKA_BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers}
    sections = {name: section for name, section in settings if isinstance(section, Section)}
    for name, section in sections.items():
        for key, value in section:
            if value is not None:  # None is the default of each key that may have it, and cannot be written down
                variables[f"STANDFAST_{name}__{key}".upper()] = _text(key, value)
    if settings.schema_registry_url is not None:
        variables["SCHEMA_REGISTRY_URL"] = settings.schema_registry_url.get_secret_value()
    return variables
