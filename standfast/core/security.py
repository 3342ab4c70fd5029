"""librdkafka's security settings, parsed for the clients that are not librdkafka: Faust's and Kafka's Java tools."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from standfast.core.errors import SettingsError

_PREFIXES = ("security.", "sasl.", "ssl.", "enable.ssl.", "enable.sasl.")
_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_SYSTEM_CA = "probe"  # librdkafka's value for the CA certificates of the operating system
_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_SUPPORTED = {
    "security.protocol",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.username",
    "sasl.password",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.key.location",
    "ssl.key.pem",
    "ssl.key.password",
    "ssl.endpoint.identification.algorithm",
    "enable.ssl.certificate.verification",
}


@dataclass(frozen=True, slots=True)
class Security:
    """How to connect to the cluster. Certificates and keys are PEM texts; an empty text means not configured."""

    protocol: str
    mechanism: str
    username: str
    password: str = field(repr=False)
    ca: str
    certificate: str
    key: str = field(repr=False)
    key_password: str = field(repr=False)
    verifies: bool
    checks_host: bool

    @property
    def encrypts(self) -> bool:
        """Whether connections use TLS."""
        return self.protocol.endswith("SSL")

    @property
    def logs_in(self) -> bool:
        """Whether clients authenticate by SASL."""
        return self.protocol.startswith("SASL")


def security(client: Mapping[str, str], whose: str) -> Security:
    """The security settings among those of a librdkafka client; raises SettingsError for unsupported ones.

    Args:
        whose: the clients they are for, as the error message names them.
    """
    unknown = sorted(key for key in client if key.startswith(_PREFIXES) and key not in _SUPPORTED)
    if unknown:
        raise SettingsError(f"{whose} cannot follow {', '.join(unknown)}; they know {', '.join(sorted(_SUPPORTED))}")
    protocol = client.get("security.protocol", "plaintext").upper()
    mechanism = (client.get("sasl.mechanism") or client.get("sasl.mechanisms") or "PLAIN").upper()
    if protocol not in _PROTOCOLS:
        raise SettingsError(f"security.protocol = {protocol}: {whose} know {', '.join(_PROTOCOLS)}")
    if protocol.startswith("SASL"):
        if mechanism not in _MECHANISMS:
            raise SettingsError(f"sasl.mechanism = {mechanism}: {whose} know {', '.join(_MECHANISMS)}")
        if "sasl.username" not in client or "sasl.password" not in client:
            raise SettingsError(f"sasl.mechanism {mechanism} needs sasl.username and sasl.password")
    read = _pem if protocol.endswith("SSL") else _nothing
    verifies = client.get("enable.ssl.certificate.verification", "true").lower() in {"true", "t", "1"}
    return Security(
        protocol=protocol,
        mechanism=mechanism,
        username=client.get("sasl.username", ""),
        password=client.get("sasl.password", ""),
        ca=read(client, "ssl.ca"),
        certificate=read(client, "ssl.certificate"),
        key=read(client, "ssl.key"),
        key_password=client.get("ssl.key.password", ""),
        verifies=verifies,
        # librdkafka verifies the host name by default since 2.0
        checks_host=verifies and client.get("ssl.endpoint.identification.algorithm", "https").lower() != "none",
    )


def _nothing(_client: Mapping[str, str], _name: str) -> str:
    return ""


def _pem(client: Mapping[str, str], name: str) -> str:
    """The PEM text from `<name>.pem`, or from the file `<name>.location`."""
    location = client.get(f"{name}.location")
    if location is None or client.get(f"{name}.pem"):
        return _blocks(client.get(f"{name}.pem", ""))
    if location == _SYSTEM_CA:
        return ""
    try:
        return _blocks(Path(location).read_text(encoding="utf-8", errors="replace"))
    except OSError as error:
        raise SettingsError(f"{name}.location = {location} cannot be read as PEM: {error}") from None


def _blocks(text: str) -> str:
    """The PEM blocks without the comments between them: CA bundles have names there that Python's ssl rejects."""
    return "".join(f"{block[0]}\n" for block in _BLOCK.finditer(text)) or text
