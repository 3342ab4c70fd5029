"""What `standfast kafka` adds to the arguments of Kafka's tools."""

from __future__ import annotations

import os
import re
import subprocess
import zipfile
from pathlib import Path

import pytest

from standfast.core import settings
from standfast.core.errors import ClusterError, SettingsError, UsageError
from standfast.kafka.distribution import jars_folder
from standfast.kafka.java_properties import java_properties
from standfast.kafka.tools import _LOGGING, TOOLS, _connected, kafka_tool


def test_every_tool_is_a_class_in_the_jars() -> None:
    inside: set[str] = set()
    for jar in jars_folder().glob("kafka*.jar"):
        inside.update(zipfile.ZipFile(jar).namelist())
    assert [name for name, tool in TOOLS.items() if tool.main_class.replace(".", "/") + ".class" not in inside] == []


def test_java_is_told_of_a_logging_configuration_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the file Java goes on, and prints logging errors where the tool's output is expected."""
    commands: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _path, command: commands.append(command))
    kafka_tool("topics", ["--help"])
    named = [word.partition("=")[2] for word in commands[0] if word.startswith("-Dlog4j2.configurationFile=")]
    assert [Path(name).is_file() for name in named] == [True]


def test_an_unknown_tool_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"'console-printer' is none of .*console-producer.*topics"):
        kafka_tool("console-printer", [])


def test_the_configured_kafka_is_added_only_where_the_user_named_none(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "broker:9092")
    added = ["--bootstrap-server", "broker:9092"]
    assert _connected(TOOLS["topics"], ["--list"]) == [*added, "--list"]
    assert _connected(TOOLS["cluster"], ["cluster-id"]) == ["cluster-id", *added]
    assert _connected(TOOLS["log-dirs"], ["--describe", "--broker-list", "1"])[:2] == added, (
        "these are ids, not addresses"
    )
    assert _connected(TOOLS["console-producer"], ["--batch-size", "1"])[:2] == added
    for given in (
        ["--bootstrap-server", "x:1"],
        ["--bootstrap-server=x:1"],
        ["--b=x:1"],
        ["-b", "x:1"],
        ["-bx:1"],
        ["--help"],
        [],
    ):
        assert _connected(TOOLS["topics"], given) == given
    assert _connected(TOOLS["dump-log"], ["--files", "f"]) == ["--files", "f"]


@pytest.mark.parametrize(
    ("given", "full"),
    [
        (["--bootstrap", "x:1"], ["--bootstrap-server", "x:1"]),
        (["--boot=x:1"], ["--bootstrap-server=x:1"]),
        (["--bootstrap-c", "x:1"], ["--bootstrap-controller", "x:1"]),
    ],
)
def test_a_beginning_of_the_address_option_does_for_every_tool(state: Path, given: list[str], full: list[str]) -> None:
    """`topics` and other tools accept options only by their full name."""
    assert _connected(TOOLS["topics"], [*given, "--list"]) == [*full, "--list"]


def test_with_no_system_running_it_says_how_to_start_one(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    with pytest.raises(ClusterError, match="no system is running here; start it with `standfast up"):
        _connected(TOOLS["topics"], ["--list"])


def test_credentials_reach_the_tool_in_its_own_words_and_never_a_file(
    state: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "broker:9092")
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("KAFKA_SASL_MECHANISM", "SCRAM-SHA-512")
    monkeypatch.setenv("KAFKA_SASL_USERNAME", "shop")
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", 'a"b')
    monkeypatch.setenv("KAFKA_SSL_CA_LOCATION", str(tmp_path / "ca.pem"))
    (tmp_path / "ca.pem").write_text("THE CERTIFICATE\n")
    text = java_properties(settings.load())
    assert [_read_as_java_does(line) for line in text.splitlines()] == [
        "security.protocol=SASL_SSL",
        "sasl.mechanism=SCRAM-SHA-512",
        (
            "sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required "
            'username="shop" password="a\\"b";'
        ),
        "ssl.truststore.type=PEM",
        "ssl.truststore.certificates=THE CERTIFICATE\n",
    ]
    args = _connected(TOOLS["topics"], ["--list"])
    path = args[args.index("--command-config") + 1]
    descriptor = int(path.rpartition("/")[2])
    passed_on = subprocess.run(["cat", path], pass_fds=[descriptor], capture_output=True, text=True, check=True)  # noqa: S607
    assert passed_on.stdout == text
    for tool, given in (
        ("topics", ["--command-config=mine", "--list"]),
        ("topics", ["--command", "mine", "--list"]),
        ("leader-election", ["--admin.config", "mine"]),
        ("leader-election", ["--admin", "mine"]),
        ("console-producer", ["--producer.config=mine"]),
        ("console-consumer", ["--consumer.con", "mine"]),
        ("streams-application-reset", ["--config-file", "mine"]),
    ):
        assert _connected(TOOLS[tool], given)[2:] == given
    for given in (["cluster-id", "--config", "mine"], ["cluster-id", "-c", "mine"]):
        assert "--command-config" not in _connected(TOOLS["cluster"], given)
    for tool, given in (
        ("topics", ["--create", "--config", "retention.ms=1"]),
        ("acls", ["--add", "--consumer", "--group", "g"]),
        ("acls", ["--add", "--producer"]),
        ("console-consumer", ["--command-property", "a=b"]),
    ):
        assert "--command-config" in _connected(TOOLS[tool], given), "that is another option"


def test_java_is_told_of_a_log_configuration_that_is_there() -> None:
    assert _LOGGING.is_file()


_TRIPLE_DES, _AES = (
    f"-----BEGIN ENCRYPTED PRIVATE KEY-----\n{coded}\n-----END ENCRYPTED PRIVATE KEY-----\n"
    for coded in ("MBQGCCqGSIb3DQMH", "YIZIAWUDBAEq")  # base64 with the OID of the cipher only
)


def _java(**client: str) -> str:
    named = {key.replace("_", "."): value for key, value in client.items()}
    return java_properties(settings.Settings.model_validate({"kafka": {"client": named}}))


def _read_as_java_does(text: str) -> str:
    return re.sub(r"\\u([0-9a-f]{4})", lambda code: chr(int(code[1], 16)), text)


def test_a_password_is_the_same_in_java_whatever_its_letters() -> None:
    password = 'p"a\\s= s\u20ac\U0001f600\n#'
    text = _java(security_protocol="sasl_plaintext", sasl_username="k\u00e4the", sasl_password=password)
    assert text.isascii()
    assert "\\" not in re.sub(r"\\u[0-9a-f]{4}", "", text)
    units = _read_as_java_does(text).encode("utf-16-be", "surrogatepass").decode("utf-16-be")
    assert 'username="k\u00e4the" password="p\\"a\\\\s= s\u20ac\U0001f600\n#"' in units
    assert units.startswith("security.protocol=SASL_PLAINTEXT\n")


def test_a_clients_certificate_and_an_unchecked_name_reach_java(tmp_path: Path) -> None:
    for name in ("ca", "cert"):
        (tmp_path / name).write_text(f"{name}\n")
    (tmp_path / "key").write_text("-----BEGIN PRIVATE KEY-----\n")
    text = _java(
        security_protocol="ssl",
        ssl_ca_location=str(tmp_path / "ca"),
        ssl_certificate_location=str(tmp_path / "cert"),
        ssl_key_location=str(tmp_path / "key"),
        ssl_endpoint_identification_algorithm="none",
    )
    named = dict(line.split("=", 1) for line in text.splitlines())
    assert named["ssl.keystore.certificate.chain"] == "cert\\u000a"
    assert named["ssl.keystore.type"] == "PEM"
    assert named["ssl.endpoint.identification.algorithm"] == ""


@pytest.mark.parametrize(
    ("client", "named"),
    [
        ({"ssl_certificate_pem": "c", "ssl_key_pem": "-----BEGIN RSA PRIVATE KEY-----"}, "openssl pkcs8"),
        ({"ssl_certificate_pem": "c", "ssl_key_pem": _TRIPLE_DES}, "encrypted with AES only.* -v2 aes-256-cbc"),
        ({"ssl_certificate_pem": "c", "ssl_key_pem": _AES}, r"ssl\.key\.password is missing"),
        ({"ssl_certificate_pem": "c", "ssl_key_pem": _AES.replace("YI", "Y")}, "no PEM text"),
        ({"enable_ssl_certificate_verification": "false"}, "--command-config"),
        ({"ssl_keystore_location": "/k"}, r"Java tools cannot follow ssl\.keystore\.location"),
        ({"ssl_ca_location": "/no/such"}, r"ssl\.ca\.location = /no/such"),
    ],
)
def test_what_java_cannot_follow_is_named(client: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        _java(security_protocol="ssl", **client)
