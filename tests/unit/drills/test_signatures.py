"""Signed commands: whatever is changed in value, signature or key's name is refused, and so is a second use."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as example_settings
from hypothesis import strategies as st

from consumers.requests.admission import Origin
from drills.control.commands import Received, received
from drills.control.events import now_ms
from drills.safety.signatures import Signatures, keygen, signer
from schemas.codec import Codec
from standfast.core.errors import DrillRejected, UsageError


def origin(value: bytes, headers: list[tuple[str, bytes]] | None = None) -> Origin:
    return Origin("drills.control", 0, 7, 0, None, value, list(headers or ()))


def checked(keys: Path, value: bytes, headers: list[tuple[str, bytes]] | None = None) -> Received:
    read = origin(value, headers)
    return Signatures(str(keys)).checked(received(read, "r@t", Codec()), read)


def command(drill_id: str | None = "d1", valid_s: float | None = 60) -> bytes:
    until = "" if valid_s is None else f', "valid_until": {now_ms() + round(valid_s * 1000)}'
    name = "" if drill_id is None else f', "drill_id": "{drill_id}"'
    return f'{{"drill": "worker-kill", "requested_by": "somebody else"{name}{until}}}'.encode()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    keygen("ann", folder)
    keygen("bob", folder)
    return folder


def test_a_signed_command_is_its_keys_whoever_it_says_it_is(keys: Path) -> None:
    value = command()
    assert checked(keys, value, signer(keys / "ann.pem").headers(value)).by == "ann"
    assert (keys / "ann.pem").stat().st_mode & 0o077 == 0


def test_stopping_needs_no_key_and_releasing_does(keys: Path) -> None:
    assert checked(keys, b'{"abort": "*"}').by is None
    assert checked(keys, b'{"lever": "engaged"}').by is None
    for value in (b'{"lever": "released"}', b'{"approve": "d1"}', b"worker-kill", b'{"drill": "worker-kill"}'):
        with pytest.raises(DrillRejected, match=r"not signed, and the setting drills\.signatures asks for it"):
            checked(keys, value)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (command(valid_s=None), "needs valid_until"),
        (command(drill_id=None), "needs a drill_id of its own"),
        (command(drill_id="drills.control-0-7"), "needs a drill_id of its own"),
        (command(valid_s=-5), "was valid until .* s ago; sign it anew"),
        (command(valid_s=7200), "valid for an hour at most"),
    ],
    ids=["without an end", "without an id", "with a default id", "too late", "too long"],
)
def test_what_could_be_sent_again_is_refused(keys: Path, value: bytes, why: str) -> None:
    with pytest.raises(DrillRejected, match=why):
        checked(keys, value, signer(keys / "ann.pem").headers(value))


def test_another_key_a_foreign_file_or_a_name_with_a_path_sign_nothing(keys: Path) -> None:
    value = command()
    (signature, name) = signer(keys / "ann.pem").headers(value)
    (keys / "not-a-key.pub").write_text("-----BEGIN nonsense")
    for key, why in (
        (b"bob", "is not that of the key 'bob'"),
        (b"eve", "there is no key 'eve'"),
        (b"../ann", "give the name of a key"),
        (b"\xff\x00", "give the name of a key"),
        (b"not-a-key", "cannot read the key"),
    ):
        with pytest.raises(DrillRejected, match=why):
            checked(keys, value, [signature, (name[0], key)])
    with pytest.raises(UsageError, match="no private key") as error:
        signer(keys / "ann.pub")
    assert "BEGIN" not in str(error.value)
    with pytest.raises(UsageError, match="exists already"):
        keygen("ann", keys)


@given(data=st.data())
@example_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_changed_byte_passes(keys: Path, data: st.DataObject) -> None:
    value = command()
    (name, signature), key_id = signer(keys / "ann.pem").headers(value)
    raw = base64.b64decode(signature)
    which, mask = data.draw(st.booleans()), data.draw(st.integers(1, 255))
    if which:
        at = data.draw(st.integers(0, len(value) - 1))
        value = value[:at] + bytes([value[at] ^ mask]) + value[at + 1 :]
    else:
        at = data.draw(st.integers(0, len(raw) - 1))
        raw = raw[:at] + bytes([raw[at] ^ mask]) + raw[at + 1 :]
    with pytest.raises(DrillRejected):
        checked(keys, value, [(name, base64.b64encode(raw)), key_id])


@given(st.binary(max_size=200), st.binary(max_size=50))
@example_settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_headers_are_refused_with_a_reason(keys: Path, signature: bytes, key_id: bytes) -> None:
    with pytest.raises(DrillRejected):
        checked(keys, command(), [("signature", signature), ("key-id", key_id)])
