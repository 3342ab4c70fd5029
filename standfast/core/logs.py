"""Logging: one JSON object a line on stderr, pretty on a terminal."""

from __future__ import annotations

import logging
from typing import TextIO, cast

import structlog

from standfast.core.log_output import OUTPUT
from standfast.core.printable import printable
from standfast.core.settings import LogSettings


def configure(settings: LogSettings, role: str) -> None:
    """Sets up structlog and the standard library's logging for this process; `role` is bound to every line."""
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    pretty = settings.format == "pretty" or (settings.format == "auto" and OUTPUT.isatty())
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer() if pretty else structlog.processors.JSONRenderer()
    )
    if pretty:  # JSON escapes by itself
        shared.append(_printable)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, OUTPUT)),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.bind_contextvars(role=role)
    _take_over_standard_logging(shared, renderer, level)
    if role == "cli" and level > logging.DEBUG:
        logging.getLogger("kafka").addFilter(_is_no_lost_connection)


def _take_over_standard_logging(
    shared: list[structlog.types.Processor], renderer: structlog.types.Processor, level: int
) -> None:
    handler = logging.StreamHandler(OUTPUT)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)
    logging.getLogger("kafka").addFilter(_is_news)


def _printable(_logger: object, _method: str, line: structlog.types.EventDict) -> structlog.types.EventDict:
    """The line without terminal control characters: it may quote text from callers' records."""
    return {key: printable(value) if isinstance(value, str) else value for key, value in line.items()}


def _is_no_lost_connection(record: logging.LogRecord) -> bool:
    """False for a connection that ended or was refused: a command tells in its own words what it cannot do.

    A drill that kills brokers filled the screen with them, between the phases that somebody wants to read.
    """
    message = record.getMessage()
    return not (message.startswith("FAIL [") and (": Disconnected" in message or ": Connect to " in message))


def _is_news(record: logging.LogRecord) -> bool:
    """False for librdkafka's warning about an InitProducerId retry: every start of a producer logs one."""
    return "PID from broker" not in record.getMessage()
