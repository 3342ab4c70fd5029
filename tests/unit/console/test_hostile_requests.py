"""Requests that no page of ours makes: from other sites, other names, without a key, too large, out of the way."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from console.keys import Sessions
from drills.control import sending
from tests.support.console_desk import COOKIE, ORIGIN, OURS, PORT, SESSIONS, answer

GOOD = SESSIONS.cookie()
EXPIRED = f"1.abc.{SESSIONS._signed('session', '1.abc')}"
START, SIGN_IN = "/drills/start", "/sign-in"
FORM = {"drill": "worker-kill"}
ACTIVATE, MODEL = "/models/activate", {"model": "search", "version": "1"}


def with_(**changes: str) -> dict[str, str]:
    """Our own form's headers with changes."""
    return {**OURS, **{name.replace("_", "-"): value for name, value in changes.items()}}


HOSTILE: dict[str, tuple[str, str, Mapping[str, str], Mapping[str, str] | None, str]] = {
    # another name for this machine's address, by which a site would be of the same origin as the console
    "rebinding": ("GET", "/", {"Host": f"evil.example:{PORT}"}, None, GOOD),
    "rebinding, a longer name": ("GET", "/", {"Host": f"127.0.0.1:{PORT}.evil.example"}, None, GOOD),
    "rebinding, another port": ("GET", "/", {"Host": "127.0.0.1:80"}, None, GOOD),
    "rebinding, no port": ("GET", "/", {"Host": "127.0.0.1"}, None, GOOD),
    "rebinding, a user": ("GET", "/", {"Host": f"127.0.0.1:{PORT}@evil.example"}, None, GOOD),
    "rebinding, any address": ("GET", "/", {"Host": f"0.0.0.0:{PORT}"}, None, GOOD),
    "rebinding, upper case": ("GET", "/", {"Host": f"LOCALHOST:{PORT}"}, None, GOOD),
    "rebinding, a dot": ("GET", "/", {"Host": f"localhost.:{PORT}"}, None, GOOD),
    "rebinding, forwarded": ("GET", "/", {"Host": "evil.example", "X-Forwarded-Host": f"127.0.0.1:{PORT}"}, None, GOOD),
    "rebinding, empty": ("GET", "/", {"Host": ""}, None, GOOD),
    "rebinding, the stream": ("GET", "/events?page=now", {"Host": "evil.example"}, None, GOOD),
    "rebinding, a post": ("POST", START, with_(Host="evil.example", Origin="http://evil.example"), FORM, GOOD),
    # a form of another site
    "no origin": ("POST", START, {"Sec-Fetch-Site": "same-origin"}, FORM, GOOD),
    "another origin": ("POST", START, with_(Origin="http://evil.example"), FORM, GOOD),
    "a null origin": ("POST", START, with_(Origin="null"), FORM, GOOD),
    "another port's origin": ("POST", START, with_(Origin="http://127.0.0.1:8000"), FORM, GOOD),
    "another scheme's origin": ("POST", START, with_(Origin=ORIGIN.replace("http", "https")), FORM, GOOD),
    "another of our names": ("POST", START, with_(Origin=f"http://localhost:{PORT}"), FORM, GOOD),
    "an origin with more": ("POST", START, with_(Origin=f"{ORIGIN}.evil.example"), FORM, GOOD),
    "cross-site": ("POST", START, with_(Sec_Fetch_Site="cross-site"), FORM, GOOD),
    "same-site": ("POST", START, with_(Sec_Fetch_Site="same-site"), FORM, GOOD),
    "from nowhere": ("POST", START, with_(Sec_Fetch_Site="none"), FORM, GOOD),
    "no Sec-Fetch-Site": ("POST", START, {"Origin": ORIGIN}, FORM, GOOD),
    "no form token": ("POST", START, OURS, {**FORM, "form_token": ""}, GOOD),
    "another session's form token": ("POST", START, OURS, {**FORM, "form_token": SESSIONS.form_token("x")}, GOOD),
    "another console's form token": (
        "POST", START, OURS, {**FORM, "form_token": Sessions(b"o" * 32, ORIGIN).form_token(GOOD)}, GOOD
    ),
    "an abort without a token": ("POST", "/drills/abort", OURS, {"drill_id": "*", "form_token": ""}, GOOD),
    "an activation without a token": ("POST", ACTIVATE, OURS, {**MODEL, "form_token": ""}, GOOD),
    "an activation of another origin": ("POST", ACTIVATE, with_(Origin="http://evil.example"), MODEL, GOOD),
    "an activation by GET": ("GET", f"{ACTIVATE}?model=search&version=1", {}, None, GOOD),
    "a model's name that is a path": ("GET", "/models/preview?model=../../etc&version=1", {}, None, GOOD),
    "JSON": ("POST", START, with_(Content_Type="application/json"), FORM, GOOD),
    "plain text": ("POST", START, with_(Content_Type="text/plain"), FORM, GOOD),
    "too large": ("POST", START, OURS, {**FORM, "p.queries": "x" * 70_000}, GOOD),
    "too many fields": ("POST", START, OURS, {**FORM, **{f"f{number}": "" for number in range(300)}}, GOOD),
    # without a key
    "no cookie": ("GET", "/", {}, None, ""),
    "no cookie for the stream": ("GET", "/events?page=now", {}, None, ""),
    "an invented cookie": ("GET", "/drills", {}, None, "9999999999.abc.0000"),
    "another console's cookie": ("GET", "/topics", {}, None, Sessions(b"o" * 32, ORIGIN).cookie()),
    "a cookie of a console for viewing only": ("GET", "/", {}, None, Sessions(b"k" * 32, "http://127.0.0.1:9").cookie()),
    "an expired cookie": ("GET", "/models", {}, None, EXPIRED),
    "a cookie that is no cookie": ("GET", "/", {"Cookie": f"{COOKIE}=\\x;;=;{COOKIE}"}, None, ""),
    "an invented link": ("POST", SIGN_IN, OURS, {"token": "guessed"}, ""),
    "an empty link": ("POST", SIGN_IN, OURS, {"token": ""}, ""),
    "a link that is a path": ("POST", SIGN_IN, OURS, {"token": "../key"}, ""),
    # out of the way
    "in a frame": ("GET", "/", {"Sec-Fetch-Dest": "iframe"}, None, GOOD),
    "PUT": ("PUT", "/", OURS, None, GOOD),
    "a start by GET": ("GET", f"{START}?drill=worker-kill", {}, None, GOOD),
    "traversal": ("GET", "/static/../../keys.py", {}, None, GOOD),
    "escaped traversal": ("GET", "/static/%2e%2e%2f%2e%2e%2fkeys.py", {}, None, GOOD),
    "a drill's id that is a path": ("GET", "/drills/run/..%2f..%2fetc%2fpasswd/report", {}, None, GOOD),
    "a drill's name that is a path": ("GET", "/drills/new/..%2f..%2fetc%2fpasswd", {}, None, GOOD),
    "a topic that is not ours": ("GET", "/topics/dead-letters?topic=__consumer_offsets.dlq", {}, None, GOOD),
}  # fmt: skip


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_request_is_refused_and_nothing_is_sent(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[object] = []
    monkeypatch.setattr(sending, "send", lambda *order: sent.append(order))
    monkeypatch.setattr("console.drill_orders.send", lambda *order: sent.append(order))
    monkeypatch.setattr("console.model_orders.send", lambda *order: sent.append(order))
    method, path, headers, form, cookie = HOSTILE[name]
    refused = answer(method, path, headers=headers, form=form, cookie=cookie)
    is_sent_to_sign_in = refused.status_code == 303 and refused.headers["location"] == SIGN_IN
    assert refused.status_code >= 400 or is_sent_to_sign_in, refused.text
    assert COOKIE not in refused.headers.get("set-cookie", "")
    assert sent == []
    assert "search-0" not in refused.text


def test_two_host_headers_are_refused() -> None:
    headers = [("Host", f"127.0.0.1:{PORT}"), ("Host", "evil.example")]
    assert answer("GET", "/", headers=headers).status_code == 421  # type: ignore[arg-type]


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize("path", ["/", "/drills", "/sign-in", "/nothing", "/static/console.js"])
def test_every_answer_forbids_what_no_page_of_ours_does(path: str) -> None:
    headers = answer("GET", path).headers
    policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
    assert policy == {
        "default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "connect-src": "'self'",
        "img-src": "'self'", "form-action": "'self'", "base-uri": "'none'", "frame-ancestors": "'none'",
    }  # fmt: skip
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["x-frame-options"] == "DENY"
