"""Writes the reference pages of docs/ from the code, so that they agree with it.

`make reference` runs this; a test fails while the pages are out of date.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)

from prometheus_client import Counter, Gauge, Histogram
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from schemas.avro_schemas import current
from schemas.topics import TABLE, Topic
from standfast import cli
from standfast.core import telemetry
from standfast.core.settings import Settings

DOCS = Path(__file__).resolve().parent.parent / "docs"
NOTE = "<!-- Written by tools/reference.py from the code; change that and run `make reference`. -->\n"
DAY_MS = 86_400_000

SETTINGS_INTRODUCTION = """\
Settings come from, in this order: flags, the environment, the file, the defaults. The file is `standfast.toml` in the
current folder or in the state folder, or the one named by `--config`. Every key may also be given as
`STANDFAST_SECTION__KEY`: `search.workers` is `STANDFAST_SEARCH__WORKERS`. A wrong key or value stops the start with
its name and what would be right.

```toml
[kafka]
partitions = 12

[search]
workers = 4
standbys = 2
```
"""
METRICS_INTRODUCTION = """\
Served for Prometheus on one port for all processes of a machine: `metrics_url` in `standfast status --json`, by default
port 9464 of loopback. Times are seconds. A histogram `x` is exported as `x_bucket`, `x_sum` and `x_count`.
"""
TOPICS_INTRODUCTION = """\
`standfast topics` compares this table with the cluster and creates what is missing; `--plan` only compares. A topic
that differs is reported and left alone. `kafka.topic_prefix` is put before each name. Requests, interactions and
commands are stored unpacked (`compression.type=uncompressed`): [why](developers.md#statuses).
"""
CLI_INTRODUCTION = """\
Results go to stdout, progress and logs to stderr. Exit codes: 0 done, 1 failed (a drill whose verdict is not `passed`
too), 2 called the wrong way.
"""
# Descriptions of the settings whose fields have none in the code.
ABOUT = {  # `*`: of every service
    "kafka.bootstrap_servers": "an existing Kafka, as `KAFKA_BOOTSTRAP_SERVERS`; empty: the embedded one",
    "kafka.brokers": "brokers of the embedded Kafka, 1 or 3",
    "kafka.partitions": "partitions of a topic that is created, where the topic table names no number",
    "kafka.topic_prefix": "put before the name of every topic and group",
    "*.standbys": "warm standbys, model loaded",
    "*.batch": "most requests computed at once",
    "*.max_k": "largest `k` a request may ask for",
    "search.max_query_chars": "longest query",
    "*.device": "`auto`: CUDA where there is one",
    "recommend.max_history": "longest `history` a request may bring",
    "workers.delivery": "`at_least_once` is faster and may answer a request twice after a failure",
    "stream.window_s": "length of a traffic window",
    "drills.max_duration_s": "longest a drill may take",
    "metrics.host": "address the metrics are served on",
    "log.level": "least severe line that is logged",
    "log.format": "`auto`: pretty on a terminal, else one JSON object a line",
}


def main() -> int:
    """Writes every page; the exit status."""
    for name, write in PAGES.items():
        (DOCS / name).write_text(write(), encoding="utf-8")
    return 0


def settings_page() -> str:
    """Every setting, with its default, allowed values and description."""
    sections = [
        (name, field.annotation)
        for name, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    ]
    parts = [
        f"# Settings\n{NOTE}",
        SETTINGS_INTRODUCTION,
        *(_section(name, model) for name, model in sections),
        "## Variables of the Kafka world\n",
        _table(
            ("variable", "what it does"),
            [
                ("`KAFKA_BOOTSTRAP_SERVERS`", "an existing Kafka; none is started then"),
                ("`KAFKA_…`", "any other librdkafka client setting: `KAFKA_SECURITY_PROTOCOL` is `security.protocol`"),
                ("`SCHEMA_REGISTRY_URL`", "a schema registry; allows the Confluent wire format"),
                ("`STANDFAST_HOME`", "the state folder; else `standfast` in the XDG state folder"),
            ],
        ),
    ]
    return "\n".join(parts)


def _section(name: str, model: type[BaseModel]) -> str:
    rows = [(f"`{key}`", _default(field), _allowed(field), _about(name, key, field)) for key, field in
            model.model_fields.items()]  # fmt: skip
    about = inspect.getdoc(model) or ""
    return f"## {name}\n{about}\n\n" + _table(("key", "default", "allowed", "what it is"), rows)


def _about(section: str, key: str, field: FieldInfo) -> str:
    return field.description or ABOUT.get(f"{section}.{key}") or ABOUT[f"*.{key}"]


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    return "" if value is PydanticUndefined else f"`{value!r}`".replace("'", '"')


def _allowed(field: FieldInfo) -> str:
    bounds = {name: limit for rule in field.metadata for name in ("ge", "gt", "le", "max_length", "pattern")
              if (limit := getattr(rule, name, None)) is not None}  # fmt: skip
    choices = [f"`{choice}`" for choice in get_args(field.annotation)] if _is_literal(field.annotation) else []
    words = {"ge": "≥ {}", "gt": "> {}", "le": "≤ {}", "max_length": "at most {} characters", "pattern": "matches `{}`"}
    limits = [words[name].format(str(limit).replace("|", "\\|")) for name, limit in bounds.items()]
    return " or ".join(choices) or ", ".join(limits) or _kind(field.annotation)


def _is_literal(annotation: object) -> bool:
    return get_origin(annotation) is not None and all(isinstance(choice, str | int) for choice in get_args(annotation))


def _kind(annotation: object) -> str:
    if annotation == dict[str, SecretStr]:
        return "a table"
    return (
        {str: "text", int: "whole number", float: "number"}.get(annotation, "") if isinstance(annotation, type) else ""
    )


def metrics_page() -> str:
    """Every metric, with its kind, labels and description."""
    kinds = {Counter: ("counter", "_total"), Gauge: ("gauge", ""), Histogram: ("histogram", "")}
    rows = [
        (f"`{metric._name}{ending}`", word,  # noqa: SLF001 - nothing public has them
         ", ".join(metric._labelnames), metric._documentation)  # noqa: SLF001
        for metric in vars(telemetry).values()
        for kind, (word, ending) in kinds.items() if isinstance(metric, kind)
    ]  # fmt: skip
    return "\n".join([
        f"# Metrics\n{NOTE}",
        METRICS_INTRODUCTION,
        _table(("metric", "kind", "labels", "what it says"), rows),
    ])  # fmt: skip


def topics_page() -> str:
    """Every topic, with its key, record type, partitions and retention."""
    rows = [
        (
            f"`{topic.name}`",
            topic.key,
            _value(topic),
            str(topic.partitions or "`kafka.partitions`"),
            _kept(topic),
            topic.about,
        )
        for topic in TABLE
    ]
    return "\n".join([
        f"# Topics\n{NOTE}",
        TOPICS_INTRODUCTION,
        _table(("topic", "key", "record", "partitions", "kept", "what it holds"), rows),
        "The records' fields are in `schemas/avro/`.\n",
    ])  # fmt: skip


def _value(topic: Topic) -> str:
    if topic.value is None:
        return "raw bytes"
    schema = current(topic.value)
    return f"[{schema.name}](../schemas/avro/{schema.name}.{schema.version}.avsc)"


def _kept(topic: Topic) -> str:
    days = topic.retention_ms // DAY_MS
    return "last record of a key" if topic.compacted else f"{days} day{'s' if days != 1 else ''}"


def cli_page() -> str:
    """Every command, with its arguments and options."""
    parts = [f"# Command line\n{NOTE}", CLI_INTRODUCTION]
    for entry in cli.ENTRIES:
        real = cli.OnDemand(entry).real()
        parts += [_command(f"standfast {entry.name}", real)]
        for name, sub in getattr(real, "commands", {}).items():
            parts += [_command(f"standfast {entry.name} {name}", sub)]
    return "\n".join(parts)


def _command(name: str, command: Any) -> str:
    about, _, example = (inspect.cleandoc(command.help or "")).partition("Example: ")
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    usage = " ".join([name, *(_metavar(argument) for argument in arguments)])
    options = [param for param in command.params if param.param_type_name == "option" and "--help" not in param.opts]
    rows = [(_flags(option), str(option.help or ""), _shown_default(option)) for option in options]
    parts = [f"## `{usage}`\n{about.strip()}\n"]
    if rows:
        parts.append(_table(("option", "what it does", "default"), rows))
    if example:
        parts.append(f"Example: `{example.strip()}`\n")
    if getattr(command, "epilog", None):
        parts.append(f"{command.epilog}\n")
    return "\n".join(parts)


def _metavar(argument: Any) -> str:
    given = argument.metavar or argument.name.upper()
    shown = str(given) if argument.required or str(given).startswith("[") else f"[{given}]"
    return f"{shown}..." if argument.nargs == -1 and "..." not in shown else shown


def _flags(option: Any) -> str:
    flags = ", ".join(f"`{flag}`" for flag in option.opts)
    return flags if option.is_flag else f"{flags} {option.metavar or _word_for(option.type_descriptor.annotation)}"


def _word_for(kind: object) -> str:
    words: dict[object, str] = {int: "INTEGER", float: "NUMBER", str: "TEXT", Path: "PATH"}
    return words[kind]


def _shown_default(option: Any) -> str:
    return "" if option.default in (None, False) or option.is_flag else f"{option.default}"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, ("---",) * len(head), *_one_line(rows)))


def _one_line(rows: Sequence[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    for row in rows:
        yield tuple(" ".join(cell.split()) for cell in row)


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "metrics.md": metrics_page,
    "topics.md": topics_page,
    "cli.md": cli_page,
}

if __name__ == "__main__":
    sys.exit(main())
