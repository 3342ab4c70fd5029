"""The user's librdkafka security settings as Faust's client (aiokafka) understands them."""

from __future__ import annotations

import ssl
from collections.abc import Mapping

import faust

from standfast.errors import SettingsError

_PREFIXES = ("security.", "sasl.", "ssl.", "enable.ssl.")
_PROTOCOLS = ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl")
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_SUPPORTED = {
    "security.protocol",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.username",
    "sasl.password",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.endpoint.identification.algorithm",
    "enable.ssl.certificate.verification",
}


def credentials(client: Mapping[str, str]) -> faust.Credentials | None:
    """What Faust needs to get into the cluster, None where it is open.

    Raises:
        SettingsError: a security setting that the stream processor's client cannot follow.
    """
    _refuse_unsupported(client)
    protocol = client.get("security.protocol", "plaintext").lower()
    if protocol not in _PROTOCOLS:
        raise SettingsError(f"security.protocol = {protocol!r}: the stream processor knows {', '.join(_PROTOCOLS)}")
    context = _ssl_context(client) if protocol.endswith("ssl") else None
    if protocol.startswith("sasl"):
        return _sasl(client, context)
    return faust.SSLCredentials(context) if context is not None else None


def _refuse_unsupported(client: Mapping[str, str]) -> None:
    wrong = sorted(key for key in client if key.startswith(_PREFIXES) and key not in _SUPPORTED)
    if wrong:
        raise SettingsError(
            f"the stream processor cannot follow {', '.join(wrong)}; it knows {', '.join(sorted(_SUPPORTED))}"
        )


def _sasl(client: Mapping[str, str], context: ssl.SSLContext | None) -> faust.Credentials:
    mechanism = client.get("sasl.mechanism") or client.get("sasl.mechanisms") or "PLAIN"
    if mechanism.upper() not in _MECHANISMS:
        raise SettingsError(f"sasl.mechanism = {mechanism!r}: the stream processor knows {', '.join(_MECHANISMS)}")
    if "sasl.username" not in client or "sasl.password" not in client:
        raise SettingsError(f"sasl.mechanism {mechanism} needs sasl.username and sasl.password")
    return faust.SASLCredentials(
        username=client["sasl.username"],
        password=client["sasl.password"],
        mechanism=mechanism.upper(),
        ssl_context=context,
    )


def _ssl_context(client: Mapping[str, str]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=client.get("ssl.ca.location"), cadata=client.get("ssl.ca.pem"))
        if "ssl.certificate.location" in client:
            context.load_cert_chain(
                client["ssl.certificate.location"],
                client.get("ssl.key.location"),
                client.get("ssl.key.password"),
            )
    except OSError as error:  # a missing file, or ssl.SSLError
        named = ", ".join(key for key in sorted(client) if key.startswith("ssl.") and "password" not in key)
        raise SettingsError(f"the certificates named by {named} cannot be used: {error}") from None
    # librdkafka checks the host's name by default since 2.0
    context.check_hostname = client.get("ssl.endpoint.identification.algorithm", "https") != "none"
    if client.get("enable.ssl.certificate.verification", "true").lower() == "false":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
