"""Links that work once, cookies, and where the console may listen."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from console import keys
from console.server import check, hosts_of, url_of
from standfast.core.errors import SettingsError
from standfast.core.settings import ConsoleSettings
from tests.support.console_desk import COOKIE, OURS, answer

TLS = {"certificate": "c.pem", "key": "k.pem"}


def test_a_link_signs_in_once(state: Path) -> None:
    token = keys.link("http://127.0.0.1:9466").partition("#")[2]
    first = answer("POST", "/sign-in", headers=OURS, form={"token": token}, cookie="")
    said = first.headers["set-cookie"].lower()
    assert (first.status_code, first.headers["location"]) == (303, "/")
    assert said.startswith(f"{COOKIE}=")
    assert "httponly" in said
    assert "samesite=strict" in said
    again = answer("POST", "/sign-in", headers=OURS, form={"token": token}, cookie="")
    assert again.status_code == 403
    assert "set-cookie" not in again.headers


def test_a_link_is_good_for_fifteen_minutes(state: Path) -> None:
    token = keys.link("http://x").partition("#")[2]
    (file,) = (state / "run/console/tokens").iterdir()
    assert token not in file.name, "only a digest is kept"
    os.utime(file, (0, 0))
    assert not keys.take("http://x", token)


def test_a_link_to_one_console_opens_no_other(state: Path) -> None:
    token = keys.link("http://127.0.0.1:9").partition("#")[2]
    assert answer("POST", "/sign-in", headers=OURS, form={"token": token}, cookie="").status_code == 403
    assert keys.take("http://127.0.0.1:9", token)


def test_sessions_outlive_the_console_and_only_its_user_can_read_the_key(state: Path) -> None:
    cookie = keys.Sessions.kept("http://x").cookie()
    assert keys.Sessions.kept("http://x").is_good(cookie)
    for path, mode in ((state / "run/console/key", 0o600), (state / "run/console", 0o700)):
        assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize(
    ("section", "wrong"),
    [
        ({"host": "0.0.0.0"}, "console.certificate"),  # noqa: S104
        ({"host": "192.168.0.7"}, "console.certificate"),
        ({"host": "::"}, "console.certificate"),
        ({"host": "0.0.0.0", **TLS}, "console.names"),  # noqa: S104
        ({"certificate": "c.pem"}, "belong together"),
    ],
)
def test_no_key_crosses_a_network_unprotected(section: dict[str, str], wrong: str) -> None:
    with pytest.raises(SettingsError, match=wrong):
        check(ConsoleSettings(**section))  # type: ignore[arg-type]


def test_the_names_that_are_answered() -> None:
    assert hosts_of(ConsoleSettings(), 9) == {"127.0.0.1:9", "localhost:9"}
    assert hosts_of(ConsoleSettings(host="::1"), 9) == {"127.0.0.1:9", "localhost:9", "[::1]:9"}
    public = ConsoleSettings(host="0.0.0.0", names=("console.example.org",), **TLS)  # type: ignore[arg-type] # noqa: S104
    check(public)
    assert hosts_of(public, 9) == {"0.0.0.0:9", "console.example.org"}
    assert url_of(public, 9) == "https://console.example.org"
    assert url_of(ConsoleSettings(host="::1"), 9) == "http://[::1]:9"


def test_view_only_starts_nothing_and_shows_no_form_that_would(state: Path) -> None:
    assert (
        answer("POST", "/drills/start", headers=OURS, form={"drill": "worker-kill"}, view_only=True).status_code == 403
    )
    preview = answer("GET", "/drills/new/worker-kill/preview", view_only=True).text
    assert 'method="post"' not in preview
    assert "view only" in preview
