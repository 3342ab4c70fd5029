"""Apache Kafka's console tools: the main class of each, and running one in place of this process."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from standfast.core.errors import UsageError

_LOGGING = Path(__file__).with_name("kafka-tools.log4j2.properties")
# Some tools accept abbreviated options, `--boot` for `--bootstrap-server`; others, such as `topics`, do not.
_OWN_ADDRESS = ("--bootstrap-server", "--bootstrap-controller")
_OWN_CREDENTIALS = ("--command-config", "--admin.config")
# The older names of --command-config; `--consumer` is another option.
_OLDER_CREDENTIALS = ("--producer.config", "--consumer.config", "--consumer-config", "--producer-config")
_SHORTEST_ADDRESS = len("--boot")  # the prefix of no other option of any tool
_SHORTEST_OLDER = len("--consumer.")
_WITHOUT_CONNECTION = {"--help", "-h", "--version"}


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool: its main class, and where its connection options go among the arguments."""

    main_class: str
    connection: Literal["first", "last", "none"] = "first"
    file: str | None = None  # this tool's name for --command-config; in other tools `--config` may set topic settings


_T = "org.apache.kafka.tools."
TOOLS = {
    "acls": Tool(_T + "AclCommand"),
    "broker-api-versions": Tool(_T + "BrokerApiVersionsCommand"),
    "client-metrics": Tool(_T + "ClientMetricsCommand"),
    "cluster": Tool(_T + "ClusterTool", "last", "--config"),
    "configs": Tool("kafka.admin.ConfigCommand"),
    "console-consumer": Tool(_T + "consumer.ConsoleConsumer"),
    "console-producer": Tool(_T + "ConsoleProducer"),
    "console-share-consumer": Tool(_T + "consumer.ConsoleShareConsumer"),
    "consumer-groups": Tool(_T + "consumer.group.ConsumerGroupCommand"),
    "consumer-perf-test": Tool(_T + "ConsumerPerformance"),
    "delegation-tokens": Tool(_T + "DelegationTokenCommand"),
    "delete-records": Tool(_T + "DeleteRecordsCommand"),
    "dump-log": Tool("kafka.tools.DumpLogSegments", "none"),
    "e2e-latency": Tool(_T + "EndToEndLatency", "none"),
    "features": Tool(_T + "FeatureCommand"),
    "get-offsets": Tool(_T + "GetOffsetShell"),
    "groups": Tool(_T + "GroupsCommand"),
    "jmx": Tool(_T + "JmxTool", "none"),
    "leader-election": Tool(_T + "LeaderElectionCommand"),
    "log-dirs": Tool(_T + "LogDirsCommand"),
    "metadata-quorum": Tool(_T + "MetadataQuorumCommand"),
    "producer-perf-test": Tool(_T + "ProducerPerformance"),
    "reassign-partitions": Tool(_T + "reassign.ReassignPartitionsCommand"),
    "replica-verification": Tool(_T + "ReplicaVerificationTool", "none"),
    "share-consumer-perf-test": Tool(_T + "ShareConsumerPerformance"),
    "share-groups": Tool(_T + "consumer.group.ShareGroupCommand"),
    "storage": Tool("kafka.tools.StorageTool", "none"),
    "streams-application-reset": Tool(_T + "StreamsResetter", file="--config-file"),
    "streams-groups": Tool(_T + "streams.StreamsGroupCommand"),
    "topics": Tool(_T + "TopicCommand"),
    "transactions": Tool(_T + "TransactionsCommand"),
    "verifiable-consumer": Tool(_T + "VerifiableConsumer"),
    "verifiable-producer": Tool(_T + "VerifiableProducer"),
}


def kafka_tool(tool: str, args: list[str]) -> NoReturn:
    """Replaces this process by the tool, which keeps stdin, stdout and pid and gives its own exit code.

    Unless the arguments say otherwise, it connects to `KAFKA_BOOTSTRAP_SERVERS` or the running system, with the
    credentials of the `KAFKA_*` settings. Raises UsageError for an unknown tool, ClusterError if no system runs.
    """
    known = TOOLS.get(tool.removeprefix("kafka-").removesuffix(".sh"))
    if known is None:
        raise UsageError(f"{tool!r} is none of Apache Kafka's tools; there are {', '.join(TOOLS)}")
    from standfast.kafka.distribution import QUICK_TO_START, java_command

    command = java_command(known.main_class, "256m", [QUICK_TO_START, f"-Dlog4j2.configurationFile={_LOGGING}"])
    command += _connected(known, args)
    os.execv(command[0], command)  # noqa: S606


def _connected(tool: Tool, args: list[str]) -> list[str]:
    """The arguments, with address and credentials added where they lack them."""
    if tool.connection == "none" or not args or _WITHOUT_CONNECTION & set(args):
        return args
    args = [_in_full(arg) for arg in args]
    from standfast.core import settings
    from standfast.core.processes.locating import located
    from standfast.kafka.java_properties import java_properties

    loaded = settings.load()
    added: list[str] = []
    if not (_given(args, _OWN_ADDRESS) or _given_short(args, "-b")):
        loaded = located(loaded)
        added += ["--bootstrap-server", loaded.kafka.bootstrap_servers]
    if not _has_credentials(tool, args) and (credentials := java_properties(loaded)):
        added += ["--command-config", _in_memory(credentials)]
    return [*args, *added] if tool.connection == "last" else [*added, *args]


def _in_full(arg: str) -> str:
    """`--bootstrap=x` as `--bootstrap-server=x`, for the tools that do not accept abbreviated options."""
    name, equals, value = arg.partition("=")
    if len(name) < _SHORTEST_ADDRESS:
        return arg
    full = next((option for option in _OWN_ADDRESS if option.startswith(name)), name)
    return f"{full}{equals}{value}"


def _has_credentials(tool: Tool, args: list[str]) -> bool:
    names = (*_OWN_CREDENTIALS, tool.file) if tool.file else _OWN_CREDENTIALS
    return _given(args, names) or _given(args, _OLDER_CREDENTIALS, _SHORTEST_OLDER) or _given_short(args, "-c")


def _given(args: list[str], options: tuple[str, ...], shortest: int = len("--b")) -> bool:
    """Whether one of the options is among the arguments, in full or abbreviated."""
    names = [name for arg in args if len(name := arg.partition("=")[0]) >= shortest]
    return any(option.startswith(name) for name in names for option in options)


def _given_short(args: list[str], option: str) -> bool:
    return any(arg.startswith(option) for arg in args)


def _in_memory(text: str) -> str:
    """A path under which only the tool can read the text: a password on disk would remain there afterwards."""
    descriptor = os.memfd_create("kafka-client", 0)  # 0: stays open across exec
    os.write(descriptor, text.encode("ascii"))
    return f"/proc/self/fd/{descriptor}"
