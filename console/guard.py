"""Refuses what no page of ours would ask, before any page sees it, and gives every answer its headers."""

from __future__ import annotations

from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# No other site is told of these pages. Under `no-referrer` browsers would send `Origin: null` with our own forms too,
# and whose a form is could not be checked.
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
_LARGEST = 64 * 1024  # bytes of a form
OPEN = frozenset(
    {"/sign-in", "/static/console.js", "/static/console.css", "/static/idiomorph.min.js", "/static/icon.svg"}
)


class Guard:
    """An ASGI application around another one.

    Args:
        hosts: the exact values of the header Host that are answered; others may be names that an attacker's own name
            server gives to this machine's address.
        scheme: `http` or `https`, for the header Origin.
        cookie: the name of the session's cookie.
        is_good: whether a cookie is one of ours.
        view_only: only the sign-in may be posted.
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: frozenset[str],
        scheme: str,
        cookie: str,
        is_good: Callable[[str], bool],
        view_only: bool,
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._scheme = scheme
        self._cookie = cookie
        self._is_good = is_good
        self._view_only = view_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", POLICY)
                headers.setdefault("Cache-Control", "no-store")
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        answer = self._refusal(scope) or self._sign_in(scope)
        await (answer or self._app)(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers, method = Headers(scope=scope), scope["method"]
        host = headers.getlist("host")
        if len(host) != 1 or host[0] not in self._hosts:
            return PlainTextResponse("This address is not served under that name.\n", 421)
        if method not in {"GET", "HEAD", "POST"}:
            return PlainTextResponse("Only GET, HEAD and POST are answered.\n", 405)
        if headers.get("sec-fetch-dest", "document") in {"iframe", "frame", "embed", "object"}:
            return PlainTextResponse("These pages are not shown inside others.\n", 403)
        return self._refused_post(scope, headers, host[0]) if method == "POST" else None

    def _refused_post(self, scope: Scope, headers: Headers, host: str) -> PlainTextResponse | None:
        if headers.getlist("origin") != [f"{self._scheme}://{host}"]:
            return PlainTextResponse("The form is not one of this page: its Origin differs.\n", 403)
        if headers.getlist("sec-fetch-site") != ["same-origin"]:
            return PlainTextResponse("The form is not one of this page: see Sec-Fetch-Site.\n", 403)
        if headers.getlist("content-type") != ["application/x-www-form-urlencoded"]:
            return PlainTextResponse("Only plain forms are taken.\n", 415)
        length = headers.get("content-length", "")
        if not length.isascii() or not length.isdecimal() or int(length[:9]) > _LARGEST:
            return PlainTextResponse("The form is too large.\n", 413)
        if self._view_only and scope["path"] != "/sign-in":
            return PlainTextResponse("console.view_only = true: nothing can be started or stopped here.\n", 403)
        return None

    def _sign_in(self, scope: Scope) -> RedirectResponse | None:
        """To the sign-in, unless the session's cookie is there or the path needs none."""
        scope["session_cookie"] = cookie = self._cookie_in(Headers(scope=scope))
        if scope["path"] in OPEN or cookie:
            return None
        return RedirectResponse("/sign-in", 303)

    def _cookie_in(self, headers: Headers) -> str:
        """The session's cookie; empty if there is none that is good."""
        try:
            morsel = SimpleCookie("; ".join(headers.getlist("cookie"))).get(self._cookie)
        except CookieError:
            return ""
        return morsel.value if morsel is not None and self._is_good(morsel.value) else ""
