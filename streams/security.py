"""Converts the user's librdkafka security settings for Faust's client, aiokafka."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping

import faust

from standfast.core.errors import SettingsError
from standfast.core.security import Security, security


def credentials(client: Mapping[str, str]) -> faust.Credentials | None:
    """Faust's credentials for the cluster; None if it needs none.

    Raises:
        SettingsError: a security setting that aiokafka does not support.
    """
    settings = security(client, "the stream processor's clients")
    context = _ssl_context(settings) if settings.encrypts else None
    if settings.logs_in:
        return faust.SASLCredentials(
            username=settings.username, password=settings.password, mechanism=settings.mechanism, ssl_context=context
        )
    return faust.SSLCredentials(context) if context is not None else None


def _ssl_context(settings: Security) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=settings.ca or None)
        if settings.certificate:
            _load_certificate(context, settings)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError; ValueError: a PEM that is not ASCII
        raise SettingsError(
            f"the certificates of ssl.ca, ssl.certificate and ssl.key cannot be used together: {error}"
        ) from None
    context.check_hostname = settings.checks_host
    if not settings.verifies:
        context.verify_mode = ssl.CERT_NONE
    return context


def _load_certificate(context: ssl.SSLContext, settings: Security) -> None:
    """Loads certificate and key through a memfd: Python's ssl reads them from files only, and none is left on disk."""
    descriptor = os.memfd_create("kafka-client")
    try:
        os.write(descriptor, f"{settings.certificate}\n{settings.key}\n".encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password=lambda: settings.key_password)
    finally:
        os.close(descriptor)
