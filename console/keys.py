"""Who may use the console: a link that works once, then a cookie; and what proves that a form is ours.

The key that signs cookies and forms is kept in the state folder, so that a restart of the console ends no session. The
tokens of links are kept there as digests, by whoever may write the folder: `standfast console` makes one and the
console, which may be another process, takes it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from pathlib import Path

from standfast.core.home import folder
from standfast.core.keeping import write_whole

TOKEN_S = 900.0  # for which a link may be used
SESSION_S = 7 * 86_400
_KEY_BYTES = 32


def link(url: str) -> str:
    """The URL that opens the console at `url` once, within 15 minutes; the token in its fragment reaches no log."""
    token = secrets.token_urlsafe(24)
    write_whole(_tokens() / _digest(url, token), b"")
    return f"{url}/#{token}"


def take(url: str, token: str) -> bool:
    """Deletes the token of a link to the console at `url`; returns whether it existed and was not too old."""
    path = _tokens() / _digest(url, token)
    try:
        age = time.time() - path.stat().st_mtime
        path.unlink()
    except FileNotFoundError:
        return False
    return age < TOKEN_S


class Sessions:
    """Makes and checks cookies and form tokens of the console at `url`. `key` is secret."""

    def __init__(self, key: bytes, url: str) -> None:
        self._key = key
        self._url = url

    @classmethod
    def kept(cls, url: str) -> Sessions:
        """Those of this state folder; the key is drawn at the first call."""
        console_folder = folder("run", "console")
        console_folder.chmod(0o700)
        path = console_folder / "key"
        try:
            key = path.read_bytes()
        except FileNotFoundError:
            key = b""
        if len(key) != _KEY_BYTES:
            key = secrets.token_bytes(_KEY_BYTES)
            write_whole(path, key)
        path.chmod(0o600)
        return cls(key, url)

    def cookie(self) -> str:
        """The value of a new session's cookie, good for a week."""
        said = f"{int(time.time()) + SESSION_S}.{secrets.token_urlsafe(12)}"
        return f"{said}.{self._signed('session', said)}"

    def is_good(self, cookie: str) -> bool:
        """Whether it is a session's cookie of ours, and its week is not over."""
        said, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._signed("session", said).encode()):
            return False
        return int(said.partition(".")[0]) > time.time()

    def form_token(self, cookie: str) -> str:
        """What every form of that session carries."""
        return self._signed("form", cookie)

    def is_form_of(self, cookie: str, token: str) -> bool:
        """Whether a form with that token was made for that session."""
        return hmac.compare_digest(token.encode(), self.form_token(cookie).encode())

    def _signed(self, use: str, text: str) -> str:
        return hmac.new(
            self._key, f"{use} {self._url} {text}".encode(errors="surrogatepass"), hashlib.sha256
        ).hexdigest()


def _tokens() -> Path:
    """The folder of the tokens that were not used yet; older ones are removed."""
    path = folder("run", "console", "tokens")
    path.chmod(0o700)
    for old in path.iterdir():
        if time.time() - old.stat().st_mtime > TOKEN_S:
            old.unlink(missing_ok=True)
    return path


def _digest(url: str, token: str) -> str:
    """Of token and console: a link to a console that is for viewing only opens no other one."""
    return hashlib.sha256(f"{url} {token}".encode(errors="surrogatepass")).hexdigest()
