"""Signed commands: an Ed25519 signature over the exact bytes of a record's value, in its headers.

The header `signature` has the signature in base64, `key-id` the name of the key. A signed command can be used once: its
`drill_id` must be new, and its `valid_until` must be near, so that no one needs to remember ids for ever.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from consumers.requests.admission import Origin
from drills.control.commands import Received
from drills.control.events import now_ms
from standfast.core.errors import DrillRejected, SetupError, UsageError
from standfast.core.home import folder

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNATURE: Final = "signature"
KEY_ID: Final = "key-id"
_LONGEST_VALID_S = 3600.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_LARGEST_KEY = 10_000  # bytes of a key's file


class Signatures:
    """Checks the signatures of commands. The keys are read each time, so that a key can be withdrawn at once."""

    def __init__(self, keys: str) -> None:
        self._keys = keys

    def checked(self, command: Received, origin: Origin) -> Received:
        """The command with the name of its key; raises DrillRejected where it is not signed, or not well."""
        signature, key_id = origin.header(SIGNATURE), origin.header(KEY_ID)
        if signature is None or key_id is None:
            if command.only_stops:
                return command
            raise DrillRejected(
                "the command is not signed, and the setting drills.signatures asks for it: sign it with `standfast "
                f"drill run --sign KEYFILE`, or in the headers {SIGNATURE} and {KEY_ID}"
            )
        name = key_id.decode(errors="replace")
        _verify(self._key(name), name, signature, origin.value or b"")
        _refuse_unless_once(command)
        return replace(command, signed_by=name)

    def _key(self, name: str) -> Ed25519PublicKey:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        if _NAME.fullmatch(name) is None:
            raise DrillRejected(f"the header {KEY_ID} is {name!r:.120}: give the name of a key")
        try:
            key = load_pem_public_key(_read(keys_folder(self._keys) / f"{name}.pub"))
        except FileNotFoundError:
            raise DrillRejected(f"there is no key {name!r} among the runner's; see the setting drills.keys") from None
        except (OSError, SetupError, ValueError, UsageError) as error:
            raise DrillRejected(f"the runner cannot read the key {name!r} ({type(error).__name__})") from None
        if not isinstance(key, Ed25519PublicKey):
            raise DrillRejected(f"the key {name!r} is no Ed25519 key")
        return key


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key and its name."""

    name: str
    _key: Ed25519PrivateKey

    def headers(self, value: bytes) -> list[tuple[str, bytes]]:
        """The headers that sign this value."""
        return [(SIGNATURE, base64.b64encode(self._key.sign(value))), (KEY_ID, self.name.encode())]


def signer(file: Path) -> Signer:
    """The private key in a file that `keygen` made; its name is the file's. Raises UsageError."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(_read(file), None)
    except OSError as error:
        raise UsageError(f"the key {file} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError):  # its message might quote the key
        raise UsageError(
            f"{file} is no private key in PEM without a passphrase; make one: standfast drill keygen"
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{file} is no Ed25519 key; make one: standfast drill keygen")
    return Signer(file.stem, key)


def keygen(name: str, into: Path) -> tuple[Path, Path]:
    """Writes a new private key (NAME.pem, only for its owner) and its public one (NAME.pub). Raises UsageError."""
    import os

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    if _NAME.fullmatch(name) is None:
        raise UsageError(f"{name!r:.120} is no name for a key: use letters, digits and . _ -")
    private, public = into / f"{name}.pem", into / f"{name}.pub"
    key = Ed25519PrivateKey.generate()
    try:
        into.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    except FileExistsError:
        raise UsageError(f"{private} exists already; choose another name, or take it away first") from None
    except OSError as error:
        raise UsageError(f"the keys cannot be written to {into}: {error.strerror}; give another --into") from None
    return private, public


def keys_folder(keys: str) -> Path:
    """The folder that the setting `keys` of `[drills]` names; raises SetupError."""
    return Path(keys).expanduser() if keys else folder("drills", "keys")


def _verify(key: Ed25519PublicKey, name: str, signature: bytes, value: bytes) -> None:
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(base64.b64decode(signature, validate=True), value)
    except (InvalidSignature, binascii.Error, ValueError):
        raise DrillRejected(f"the signature is not that of the key {name!r} over this record's value") from None


def _refuse_unless_once(command: Received) -> None:
    """Raises DrillRejected for a signed command that could be sent again by whoever reads it."""
    until = command.command.valid_until
    if command.command.drill_id is None or command.drill_id == command.own_id:
        raise DrillRejected("a signed command needs a drill_id of its own: by that it is known when it comes again")
    if until is None:
        raise DrillRejected("a signed command needs valid_until (epoch milliseconds)")
    ahead_s = (until - now_ms()) / 1000
    if ahead_s < 0:
        raise DrillRejected(f"the signed command was valid until {-ahead_s:.3g} s ago; sign it anew")
    if ahead_s > _LONGEST_VALID_S:
        raise DrillRejected(f"valid_until is {ahead_s:.0f} s ahead; a signed command is valid for an hour at most")


def _read(file: Path) -> bytes:
    with file.open("rb") as opened:
        data = opened.read(_LARGEST_KEY + 1)
    if len(data) > _LARGEST_KEY:
        raise UsageError(f"{file} is too large to be a key")
    return data
