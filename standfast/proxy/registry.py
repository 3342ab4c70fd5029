"""The schema registry behind the proxy, where one is configured and may be put there."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from pydantic import SecretStr

from standfast.core.errors import ClusterError
from standfast.core.network import routes
from standfast.core.network.routes import REGISTRY, Route
from standfast.core.settings import Settings
from standfast.kafka.broker_config import free_port, is_free


def registry_behind_proxy(settings: Settings) -> tuple[Settings, list[Route]]:
    """The settings with the proxy's address in place of the registry's, and the route between the two.

    A registry that is spoken to by TLS stays as it is: its certificate is for its own name, not for 127.0.0.1.
    """
    url = urlsplit(settings.schema_registry_url.get_secret_value()) if settings.schema_registry_url else None
    if url is None or url.scheme != "http" or not url.hostname:
        return settings, []
    route = Route(REGISTRY, _front(), url.hostname, url.port or 80)
    credentials, at, _ = url.netloc.rpartition("@")
    behind = url._replace(netloc=f"{credentials}{at}127.0.0.1:{route.front}")
    return settings.model_copy(update={"schema_registry_url": SecretStr(urlunsplit(behind))}), [route]


def _front() -> int:
    """The port of the last start, if it is free: what is known of a registry is kept on disk by its address."""
    try:
        ports = [route.front for route in routes.kept() if route.name == REGISTRY]
    except ClusterError:  # the file is written anew
        ports = []
    return next(filter(is_free, ports), None) or free_port()
