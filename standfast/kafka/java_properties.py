"""The security settings of our librdkafka clients in the words of Kafka's Java clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from standfast.errors import SettingsError
from standfast.security import Security, security

if TYPE_CHECKING:
    from standfast.settings import Settings

_OWN = "give the tool settings of its own with --command-config"


def java_properties(settings: Settings) -> str:
    """A properties file for the console tools, empty where the cluster is open; raises SettingsError."""
    client = {key: value.get_secret_value() for key, value in settings.kafka.client.items()}
    wanted = security(client, "Kafka's Java tools")
    if wanted.protocol == "PLAINTEXT":
        return ""
    lines = {"security.protocol": wanted.protocol}
    if wanted.logs_in:
        lines |= {"sasl.mechanism": wanted.mechanism, "sasl.jaas.config": _login(wanted)}
    if wanted.encrypts:
        lines |= _tls(wanted)
    return "".join(f"{key}={_escaped(value)}\n" for key, value in lines.items())


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
        if "PRIVATE KEY" not in wanted.key or "RSA PRIVATE KEY" in wanted.key or "EC PRIVATE KEY" in wanted.key:
            raise SettingsError(
                f"ssl.key: Java reads keys in PKCS#8 only; write it anew with `openssl pkcs8 -topk8`, or {_OWN}"
            )
        lines |= {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.certificate.chain": wanted.certificate,
            "ssl.keystore.key": wanted.key,
        }
        if "ENCRYPTED" in wanted.key:
            lines["ssl.key.password"] = wanted.key_password
    if not wanted.checks_host:
        lines["ssl.endpoint.identification.algorithm"] = ""
    return lines


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _escaped(value: str) -> str:
    r"""A value as Java reads it from a file: in Latin-1, all else as \uXXXX, which it takes for one UTF-16 unit."""
    units = value.encode("utf-16-be", "surrogatepass")
    codes = [int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2)]
    return "".join(chr(code) if 0x20 < code < 0x7F and code != 0x5C else f"\\u{code:04x}" for code in codes)
