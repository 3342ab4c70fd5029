"""The address of the metrics: one that cannot be is named by its setting, and one that is told can be fetched."""

from __future__ import annotations

import socket

import httpx
import pytest

from standfast import metrics_server
from standfast.core.errors import SetupError
from standfast.core.settings import MetricsSettings


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "0.0.0.0"])  # noqa: S104 - the test is about it
def test_the_url_that_is_told_can_be_fetched(host: str) -> None:
    if host == "::1" and not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    url = metrics_server.start(MetricsSettings(host=host, port=0))
    assert httpx.get(url, timeout=30, trust_env=False).status_code == 200


@pytest.mark.parametrize("host", ["nosuch.invalid", "192.0.2.1", "a b", "x" * 300])
def test_a_host_that_is_not_of_this_machine_is_named_by_its_setting(host: str) -> None:
    with pytest.raises(SetupError, match=r"metrics\.host = .*set an address of this machine"):
        metrics_server.start(MetricsSettings(host=host, port=0))


def test_a_port_that_is_taken_is_named_by_its_setting() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(SetupError, match=r"metrics\.port = .*or 0 for any free port"):
            metrics_server.start(MetricsSettings(port=other.getsockname()[1]))
