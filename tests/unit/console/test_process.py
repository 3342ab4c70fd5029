"""The console as a process, without a Kafka: it answers over TLS, says that Kafka is away, and stops when told."""

from __future__ import annotations

import datetime
import os
import signal
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from console import keys
from standfast.core.errors import SetupError
from standfast.core.processes import role_word
from standfast.core.settings import ConsoleSettings, KafkaSettings, Settings
from tests.waiting import wait_until


def certificate(folder: Path) -> tuple[Path, Path]:
    """Files of a certificate for localhost that signs itself, and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / "cert.pem", folder / "key.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, pkcs8, plain))
    return files


def test_it_answers_over_tls_without_kafka_and_stops_at_once(state: Path, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "STANDFAST_SLOT": "console",
        "STANDFAST_CONSOLE__PORT": "0",
        "STANDFAST_CONSOLE__HOST": "localhost",
        "STANDFAST_CONSOLE__CERTIFICATE": str(cert),
        "STANDFAST_CONSOLE__KEY": str(key),
    }
    with subprocess.Popen([sys.executable, "-m", "console"], env=environment) as process:
        try:
            url = wait_until(lambda: role_word.address_of("console"), 60, what="a console that answers")
            assert url.startswith("https://localhost:")
            trusted = ssl.create_default_context(cafile=str(cert))
            ours = {"Origin": url, "Sec-Fetch-Site": "same-origin"}
            with httpx.Client(base_url=url, verify=trusted, trust_env=False, timeout=20, headers=ours) as browser:
                signed_in = browser.post("/sign-in", data={"token": keys.link(url).partition("#")[2]})
                assert "secure" in signed_in.headers["set-cookie"].lower()
                wait_until(lambda: "Kafka does not answer" in browser.get("/").text, what="what is wrong")
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0


def test_files_that_are_no_certificate_are_named(state: Path, tmp_path: Path) -> None:
    from console.server import run

    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("nonsense")
    console = ConsoleSettings(port=0, certificate=str(tmp_path / "cert.pem"), key=str(tmp_path / "key.pem"))
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        with pytest.raises(SetupError, match=r"console\.certificate and console\.key cannot be used"):
            run(Settings(kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1"), console=console))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
