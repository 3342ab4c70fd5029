"""The HTTP endpoint that Prometheus scrapes."""

from __future__ import annotations

import ipaddress
import socket

from prometheus_client import REGISTRY, CollectorRegistry, start_http_server

from standfast.core.errors import SetupError
from standfast.core.settings import MetricsSettings


def start(wanted: MetricsSettings, registry: CollectorRegistry = REGISTRY) -> str:
    """The URL of the registry's metrics, served from now on; raises SetupError naming the wrong setting."""
    try:
        addresses = socket.getaddrinfo(wanted.host, wanted.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        with socket.socket(addresses[0][0]) as probe:
            probe.bind((*addresses[0][4][:1], 0, *addresses[0][4][2:]))
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SetupError(
            f"metrics.host = {wanted.host!r}: {reason}; set an address of this machine, such as 127.0.0.1, or 0.0.0.0"
        ) from None
    try:
        server, _ = start_http_server(wanted.port, wanted.host, registry=registry)
    except OSError as error:
        raise SetupError(
            f"metrics.port = {wanted.port}: {error.strerror}; set another one, or 0 for any free port"
        ) from None
    return f"http://{_url_host(wanted.host)}:{server.server_port}/metrics"


def _url_host(host: str) -> str:
    """The host as a URL needs it: an IPv6 address in brackets, its zone id escaped."""
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return host
    return f"[{host.replace('%', '%25')}]" if version == 6 else host
