"""Translates librdkafka's security settings into those of Kafka's Java clients."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from standfast.core.errors import SettingsError
from standfast.core.security import Security, security

if TYPE_CHECKING:
    from standfast.core.settings import Settings

REWRITE_KEY = "openssl pkcs8 -topk8 -v2 aes-256-cbc -in KEY -out NEW_KEY"
_AES = bytes.fromhex("6086480165030401")  # the common prefix of all AES object identifiers
_OWN = "give the tool settings of its own with --command-config"


def java_properties(settings: Settings) -> str:
    """The text of a properties file for the console tools, empty for PLAINTEXT.

    Raises SettingsError for settings that Kafka's Java clients do not support.
    """
    wanted = security(settings.kafka.client_settings, "Kafka's Java tools")
    if wanted.protocol == "PLAINTEXT":
        return ""
    lines = {"security.protocol": wanted.protocol}
    if wanted.logs_in:
        lines |= {"sasl.mechanism": wanted.mechanism, "sasl.jaas.config": _login(wanted)}
    if wanted.encrypts:
        lines |= _tls(wanted)
    return "".join(f"{key}={escaped(value)}\n" for key, value in lines.items())


def _login(wanted: Security) -> str:
    module = "scram.ScramLoginModule" if wanted.mechanism.startswith("SCRAM") else "plain.PlainLoginModule"
    user, password = _quoted(wanted.username), _quoted(wanted.password)
    return f"org.apache.kafka.common.security.{module} required username={user} password={password};"


def _tls(wanted: Security) -> dict[str, str]:
    if not wanted.verifies:
        raise SettingsError(
            f"enable.ssl.certificate.verification = false: Java checks certificates always; name the certificate in "
            f"ssl.ca.location, or {_OWN}"
        )
    lines: dict[str, str] = {}
    if wanted.ca:
        lines |= {"ssl.truststore.type": "PEM", "ssl.truststore.certificates": wanted.ca}
    if wanted.certificate:
        _check_key(wanted.key)
        lines |= {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.certificate.chain": wanted.certificate,
            "ssl.keystore.key": wanted.key,
        }
        if "ENCRYPTED" in wanted.key:
            if not wanted.key_password:
                raise SettingsError("ssl.key is encrypted, and ssl.key.password is missing")
            lines["ssl.key.password"] = wanted.key_password
    if not wanted.checks_host:
        lines["ssl.endpoint.identification.algorithm"] = ""
    return lines


def _check_key(key: str) -> None:
    """Raises SettingsError for a private key that librdkafka and Python read, but Java does not."""
    if "PRIVATE KEY" not in key or "RSA PRIVATE KEY" in key or "EC PRIVATE KEY" in key:
        raise SettingsError(f"ssl.key: Java reads keys in PKCS#8 only; write it anew with `{REWRITE_KEY}`, or {_OWN}")
    coded = "".join(key.partition("-----BEGIN ENCRYPTED PRIVATE KEY-----")[2].partition("-----")[0].split())
    try:
        is_aes = _AES in base64.b64decode(coded)
    except ValueError:
        raise SettingsError("ssl.key: it is no PEM text; give a private key in PKCS#8") from None
    if coded and not is_aes:
        raise SettingsError(
            f"ssl.key: Java reads keys that are encrypted with AES only, and `openssl req` uses another cipher; write "
            f"it anew with `{REWRITE_KEY}`, or {_OWN}"
        )


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def escaped(value: str) -> str:
    r"""The value as a Java properties file needs it: ASCII, every other UTF-16 unit as \uXXXX."""
    units = value.encode("utf-16-be", "surrogatepass")
    codes = [int.from_bytes(units[start : start + 2], "big") for start in range(0, len(units), 2)]
    return "".join(chr(code) if 0x20 < code < 0x7F and code != 0x5C else f"\\u{code:04x}" for code in codes)
