"""A Kafka broker with mutual TLS and SASL: clients need a certificate and a password."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from confluent_kafka.admin import AdminClient, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion

from standfast.kafka import broker
from standfast.kafka.broker_config import Layout, is_free, new_layout
from standfast.kafka.java_properties import REWRITE_KEY, escaped
from tests.waiting import wait_until

# SCRAM has a user of its own: there Kafka does not find users whose names are not ASCII.
USER, SCRAM_USER = "käthe", "shop"
PASSWORD, KEY_PASSWORD = 'p"a\\s= s€\N{GRINNING FACE}', "géheim"
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_SCRAM = {"SCRAM-SHA-256": ScramMechanism.SCRAM_SHA_256, "SCRAM-SHA-512": ScramMechanism.SCRAM_SHA_512}


class SecureBroker(broker.Node):
    """One broker with two SASL_SSL listeners.

    The certificate of `named` is for the listener's address, that of `misnamed` for another host.
    """

    def __init__(self, folder: Path) -> None:
        first, second, third = new_layout(3).nodes
        super().__init__(folder, Layout("secure0000000000000000", [first]), first)
        self.named, self.misnamed = (f"127.0.0.1:{ports.broker}" for ports in (second, third))
        self._pems = folder / "pem"

    def start(self) -> None:
        """Returns when the broker answers and has the SCRAM user."""
        self._pems.mkdir(parents=True)
        _certificates(self._pems)
        self.write_config()
        if (formatting := self.begin_format()) is not None:
            self.end_format(formatting, 60)
        self.launch()
        open_ = AdminClient({"bootstrap.servers": self.address, "log_level": 0})
        wait_until(lambda: self.alive and not is_free(int(self.address.partition(":")[2])), 90, what="broker")
        for scram in _SCRAM.values():
            user = UserScramCredentialUpsertion(SCRAM_USER, ScramCredentialInfo(scram, 4096), PASSWORD.encode())
            for done in open_.alter_user_scram_credentials([user]).values():
                done.result(60)

    def stop(self) -> None:
        """Returns when the broker has ended."""
        self.terminate()
        self.wait(time.monotonic() + 20)

    def client(self, mechanism: str = "PLAIN", **more: str) -> dict[str, str]:
        """The librdkafka settings with which a client gets in, with certificates and key as files."""
        return {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": mechanism,
            "sasl.username": USER if mechanism == "PLAIN" else SCRAM_USER,
            "sasl.password": PASSWORD,
            "ssl.ca.location": str(self._pems / "ca.pem"),
            "ssl.certificate.location": str(self._pems / "client.pem"),
            "ssl.key.location": str(self._pems / "client-aes.key"),
            "ssl.key.password": KEY_PASSWORD,
            **more,
        }

    def _config(self, name: str, text: str) -> str:
        """The embedded Kafka's configuration and the listeners. Of two lines with one name Java takes the later."""
        if name.endswith("server.properties"):
            text += "".join(f"{key}={escaped(value)}\n" for key, value in self._listeners().items())
        return super()._config(name, text)

    def _listeners(self) -> dict[str, str]:
        advertised = f"PLAINTEXT://{self.address},NAMED://{self.named},MISNAMED://{self.misnamed}"
        lines = {
            "advertised.listeners": advertised,
            "listeners": f"{advertised},CONTROLLER://{self.controller_address}",
            "listener.security.protocol.map": (
                "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,NAMED:SASL_SSL,MISNAMED:SASL_SSL"
            ),
        }
        return lines | self._listener("named") | self._listener("misnamed")

    def _listener(self, name: str) -> dict[str, str]:
        secret = PASSWORD.replace("\\", "\\\\").replace('"', '\\"')
        logins = "org.apache.kafka.common.security"
        config = {
            "ssl.client.auth": "required",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self._pems / f"{name}.both"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self._pems / "ca.pem"),
            "sasl.enabled.mechanisms": ",".join(MECHANISMS),
            "plain.sasl.jaas.config": f'{logins}.plain.PlainLoginModule required user_{USER}="{secret}";',
            "scram-sha-256.sasl.jaas.config": f"{logins}.scram.ScramLoginModule required;",
            "scram-sha-512.sasl.jaas.config": f"{logins}.scram.ScramLoginModule required;",
        }
        return {f"listener.name.{name}.{key}": value for key, value in config.items()}


def _certificates(folder: Path) -> None:
    """Writes a CA and the certificates it signs: two for the broker, one for the client, whose key is encrypted."""
    _signed(folder, "ca", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    ours = ("-CA", "ca.pem", "-CAkey", "ca.key")
    _signed(folder, "named", *ours, "-addext", "subjectAltName=IP:127.0.0.1")
    _signed(folder, "misnamed", *ours, "-addext", "subjectAltName=DNS:elsewhere.example")
    _signed(folder, "client", *ours, lock=KEY_PASSWORD)
    secret = f"pass:{KEY_PASSWORD}"
    words = [*REWRITE_KEY.split(), "-passin", secret, "-passout", secret]
    files = {"KEY": "client.key", "NEW_KEY": "client-aes.key"}
    subprocess.run([files.get(word, word) for word in words], cwd=folder, check=True, capture_output=True)
    for name in ("named", "misnamed"):
        both = (folder / f"{name}.key").read_text() + (folder / f"{name}.pem").read_text()
        (folder / f"{name}.both").write_text(both)


def _signed(folder: Path, name: str, *more: str, lock: str = "") -> None:
    kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    locked = ("-passout", f"pass:{lock}") if lock else ("-nodes",)
    words = ["openssl", "req", "-x509", *kind, *locked, "-days", "2", "-subj", f"/CN={name}", *more]
    files = ("-out", f"{name}.pem", "-keyout", f"{name}.key")
    subprocess.run([*words, *files], cwd=folder, check=True, capture_output=True)
