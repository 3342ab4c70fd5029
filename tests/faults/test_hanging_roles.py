"""Roles that run but hang are noticed, killed and restarted; a role that only waits for Kafka is left alone."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from standfast import topics
from standfast.core import clients
from standfast.core import settings as settings_module
from standfast.core.processes import role_word, stillness
from standfast.core.settings import KafkaSettings, MetricsSettings, Settings
from standfast.core.status import RoleStatus
from standfast.role import Role

_ROLES = ("profiles", "catalogue", "models", "stream", "drills", "agent")
_SILENT_S = 20.0  # instead of a minute, so that the test is shorter


async def until(condition: Callable[[], bool], what: str, within_s: float = 180.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        await asyncio.sleep(0.05)


def the_roles(servers: str, prefix: str) -> tuple[Settings, dict[str, Role]]:
    kafka = KafkaSettings(bootstrap_servers=servers, topic_prefix=prefix, partitions=2)
    settings = Settings(kafka=kafka, metrics=MetricsSettings(port=0))
    environment = {**settings_module.environment(settings), "PYTHONPATH": str(Path.cwd())}
    return settings, {name: Role(name, "tests.support.hanging", environment, lambda: None) for name in _ROLES}


async def stopped(roles: dict[str, Role]) -> None:
    await asyncio.gather(*(role.stop(within_s=5.0) for role in roles.values()))


@pytest.mark.usefixtures("state")
def test_a_role_that_hangs_is_said_then_killed_and_started_again(
    broker: str, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stillness, "_SILENT_S", _SILENT_S)

    async def life() -> None:
        settings, roles = the_roles(broker, f"hang-{unique}.")
        topics.apply(AdminClient(clients.base(settings, "test")), settings.kafka)
        for role in roles.values():
            role.start()
        try:
            await until(lambda: all(role.status().state == "running" for role in roles.values()), "all roles")
            before = {name: role.status() for name, role in roles.items()}
            reported: dict[str, RoleStatus] = {}
            for row in before.values():
                os.kill(row.pid, signal.SIGUSR1)

            def are_others() -> bool:
                for name, role in roles.items():
                    if role.status().failing:
                        reported.setdefault(name, role.status())
                return all(role.status().pid not in {0, before[name].pid} for name, role in roles.items())

            await until(are_others, "other processes")
            for name, role in roles.items():
                assert reported[name].failing.startswith(f"{name} has made no step since ")
                assert reported[name].since > 0
                assert reported[name].pid == before[name].pid
                assert "made no step for" in role.status().ended
                assert (role.status().restarts, before[name].restarts) == (1, 0)
            await until(lambda: all(role.status().state == "running" for role in roles.values()), "all roles again")
        finally:
            await stopped(roles)

    asyncio.run(life())


@pytest.mark.usefixtures("state")
def test_a_role_that_waits_for_kafka_makes_steps(unique: str) -> None:
    """Without steps the supervisor would take it for hanging and kill it every minute."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused

        async def life() -> None:
            _, roles = the_roles(f"127.0.0.1:{nobody.getsockname()[1]}", f"away-{unique}.")
            for role in roles.values():
                role.start()
            try:
                for name in _ROLES:
                    pulse = role_word.Pulse(role_word._file(name, "pulse"))
                    for _ in range(3):
                        seen = pulse.count
                        await until(lambda: pulse.count > seen, f"a step of {name}", stillness._SILENT_S)  # noqa: B023
                    assert roles[name].status().restarts == 0
            finally:
                await stopped(roles)

        asyncio.run(life())
