"""The user's librdkafka security settings as Faust's client (aiokafka) understands them."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping

import faust

from standfast.core.errors import SettingsError
from standfast.core.security import Security, security


def credentials(client: Mapping[str, str]) -> faust.Credentials | None:
    """What Faust needs to get into the cluster, None where it is open.

    Raises:
        SettingsError: a security setting that the stream processor's client cannot follow.
    """
    wanted = security(client, "the stream processor's clients")
    context = _ssl_context(wanted) if wanted.encrypts else None
    if wanted.logs_in:
        return faust.SASLCredentials(
            username=wanted.username, password=wanted.password, mechanism=wanted.mechanism, ssl_context=context
        )
    return faust.SSLCredentials(context) if context is not None else None


def _ssl_context(wanted: Security) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=wanted.ca or None)
        if wanted.certificate:
            _load_certificate(context, wanted)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError; ValueError: a PEM that is not ASCII
        raise SettingsError(
            f"the certificates of ssl.ca, ssl.certificate and ssl.key cannot be used together: {error}"
        ) from None
    context.check_hostname = wanted.checks_host
    if not wanted.verifies:
        context.verify_mode = ssl.CERT_NONE
    return context


def _load_certificate(context: ssl.SSLContext, wanted: Security) -> None:
    """OpenSSL's Python module takes them from files only; this one is in memory and gone when it returns."""
    descriptor = os.memfd_create("kafka-client")
    try:
        os.write(descriptor, f"{wanted.certificate}\n{wanted.key}\n".encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password=lambda: wanted.key_password)
    finally:
        os.close(descriptor)
