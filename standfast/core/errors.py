"""The errors Standfast raises on purpose.

    StandfastError                 the root; the command line prints its message on one line and exits with `exit_code`
    ├── SettingsError              a key or value that cannot work, with what would (exit 2)
    ├── UsageError                 a command called the wrong way (exit 2)
    │   └── DrillUsageError        a drill that cannot be run with these arguments; nothing was sent (exit 64)
    ├── SetupError                 something this machine lacks: Java, jars, network, disk, a port
    ├── ClusterError               Kafka could not be started, reached or stopped
    ├── TopicError                 a topic is missing or not as the table says
    ├── DataError                  a user's file cannot be read as a catalogue, interactions or judgements
    ├── SchemaError                a schema, or a registry of schemas, does not fit
    │   └── Unreadable             one record's bytes cannot be decoded; it goes to the dead-letter topic
    ├── ModelError                 a model cannot be trained, found or loaded
    │   ├── IntegrityError         a model's files are not the ones its manifest names
    │   ├── ChallengerRefused      a canary's challenger cannot be loaded; the champion may be sound
    │   ├── DeviceLost             the device that a model computes on fails until the process ends; exit at once
    │   └── WeightsDamaged         a model's weights in memory are not the ones that were loaded; exit at once
    ├── NotInitialised             Kafka does not let this process initialise transactions; another one may succeed
    ├── Fenced                     another process has taken over this worker's identity; exit at once
    ├── NoAnswer                   a request was sent and nothing came back in time
    ├── Interrupted                Ctrl-C or a signal ended a command; says what became of what it had begun (exit 130)
    └── DrillError                 a drill cannot be started or judged
        └── DrillRejected          the event was understood and refused; the reason is the message

A message says what happened, the value seen, and what to do next.
"""

from __future__ import annotations


class StandfastError(Exception):
    """Root of every error raised on purpose."""

    exit_code = 1


class SettingsError(StandfastError):
    """A setting's key or value is wrong; names both and what would be right."""

    exit_code = 2


class UsageError(StandfastError):
    """A command was called in a way that cannot work."""

    exit_code = 2


class DrillUsageError(UsageError):
    """A drill cannot be run with these arguments; nothing was sent."""

    exit_code = 64  # EX_USAGE of sysexits.h


class SetupError(StandfastError):
    """This machine lacks something; says what to do about it."""


class ClusterError(StandfastError):
    """Kafka could not be started, reached or stopped."""


class TopicError(StandfastError):
    """A topic is missing or differs from the topic table."""


class DataError(StandfastError):
    """A user's file cannot be read; names the file, the line and the column."""


class SchemaError(StandfastError):
    """A schema, or the registry that holds it, does not fit."""


class Unreadable(SchemaError):
    """The bytes of one record cannot be decoded."""


class ModelError(StandfastError):
    """A model cannot be trained, found or loaded."""


class IntegrityError(ModelError):
    """A model's files are not the ones its manifest names."""


class ChallengerRefused(ModelError):
    """A canary's challenger cannot be loaded; nothing is said of the champion."""


class DeviceLost(ModelError):
    """The device that a model computes on fails on everything until the process ends."""

    exit_code = 4


class WeightsDamaged(ModelError):
    """A model's weights in memory are not the ones that were loaded."""

    exit_code = 3


class NotInitialised(StandfastError):
    """Kafka answers but does not let this process initialise transactions; another process may succeed."""


class Fenced(StandfastError):
    """Another process has taken over this worker's identity."""


class NoAnswer(StandfastError):
    """A request was sent and no answer came in time."""


class Interrupted(StandfastError):
    """Ctrl-C or a signal ended a command; says what became of the work it had begun."""

    exit_code = 130


class DrillError(StandfastError):
    """A drill cannot be started or judged."""


class DrillRejected(DrillError):
    """A drill event was understood and refused."""
