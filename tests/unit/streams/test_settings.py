"""The stream processor's Kafka credentials from the settings, and its checks of an interaction's fields."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest

from schemas.records import Interaction
from standfast.core.errors import SchemaError, SettingsError
from streams.interactions import check
from streams.security import credentials

NOW = 1_700_000_000_000


def test_an_open_cluster_needs_no_credentials() -> None:
    assert credentials({"fetch.wait.max.ms": "5"}) is None


def test_a_password_gets_in() -> None:
    client = {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "shop",
        "sasl.password": "secret",
    }
    sasl = credentials(client)
    assert sasl is not None
    assert (sasl.username, sasl.mechanism.value, sasl.protocol.value) == ("shop", "SCRAM-SHA-512", "SASL_SSL")
    assert sasl.ssl_context.check_hostname


@pytest.mark.parametrize(
    ("client", "named"),
    [
        ({"sasl.oauthbearer.config": "secret"}, "sasl.oauthbearer.config"),
        ({"security.protocol": "sasl_plaintext", "sasl.mechanism": "GSSAPI"}, "GSSAPI"),
        ({"security.protocol": "sasl_plaintext", "sasl.password": "secret"}, "sasl.username"),
        ({"security.protocol": "kerberos"}, "security.protocol"),
        ({"security.protocol": "ssl", "ssl.ca.location": "/no/such.pem"}, "ssl.ca.location"),
    ],
)
def test_what_cannot_be_followed_is_named_without_its_secrets(client: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=named) as raised:
        credentials(client)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("password", ["", "g\u00e9heim"])
def test_a_clients_certificate_is_shown_from_files_or_texts(tmp_path: Path, password: str) -> None:
    certificate, key = tmp_path / "cert", tmp_path / "key"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-subj", "/CN=shop", "-days", "2"]
    lock = ["-passout", f"pass:{password}"] if password else ["-nodes"]
    subprocess.run([*words, *lock, "-out", certificate, "-keyout", key], check=True, capture_output=True)
    texts = {
        "ssl.ca.pem": certificate.read_text(),
        "ssl.certificate.pem": certificate.read_text(),
        "ssl.key.pem": key.read_text(),
    }
    files = {
        "ssl.ca.location": str(certificate),
        "ssl.certificate.location": str(certificate),
        "ssl.key.location": str(key),
    }
    for given in (texts, files):
        tls = credentials(
            {
                "security.protocol": "ssl",
                "ssl.key.password": password,
                "ssl.endpoint.identification.algorithm": "none",
                **given,
            }
        )
        assert tls is not None
        assert not tls.context.check_hostname
        assert tls.context.verify_mode is ssl.CERT_REQUIRED
    commented = {**texts, "ssl.ca.pem": f"# Főtanúsítvány\n{texts['ssl.ca.pem']}"}
    for given in (commented, texts | {"ssl.ca.pem": "", "ssl.ca.location": "probe"}):
        assert credentials({"security.protocol": "ssl", "ssl.key.password": password, **given}) is not None
    with pytest.raises(SettingsError, match=r"ssl\.key"):
        credentials({"security.protocol": "ssl", **texts, "ssl.key.pem": "none"})


@pytest.mark.parametrize(
    ("interaction", "named"),
    [
        (Interaction(user_id="", item_id="a"), "user_id"),
        (Interaction(user_id="u", item_id=" "), "item_id"),
        (Interaction(user_id="u", item_id="a", value=float("nan")), "value"),
        (Interaction(user_id="u", item_id="a", timestamp=NOW * 1000), "milliseconds"),
        (Interaction(user_id="u", item_id="a", timestamp=-1), "milliseconds"),
    ],
)
def test_an_interaction_that_can_be_read_may_still_be_wrong(interaction: Interaction, named: str) -> None:
    with pytest.raises(SchemaError, match=named):
        check(interaction, NOW)


def test_an_old_interaction_is_a_right_one() -> None:
    check(Interaction(user_id="u", item_id="a", timestamp=0), NOW)
