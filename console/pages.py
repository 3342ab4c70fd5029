"""The pages and forms: what each address answers. Whoever comes this far has passed the guard."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from sse_starlette import EventSourceResponse
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from console import drill_orders, keys, model_orders, trails
from console.drawing import PAGES, panel, whole
from console.guard import OPEN
from console.hub import Hub
from console.model_rows import model_rows, served
from console.scanning import WITHIN_S
from console.stream import updates
from console.topic_rows import Topics
from drills.catalogue import catalogue, find
from drills.reports.drawing import stylesheet
from drills.reports.page import page as report_page
from drills.running.plan import is_id
from standfast.core.errors import ClusterError, DrillRejected, ModelError
from standfast.core.settings import Settings

_STATIC = Path(__file__).with_name("static")
_KINDS = {".svg": "image/svg+xml", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
_MOST_FIELDS = 200
_SEND_TIMEOUT_S = 10.0  # for a reader that takes nothing, such as a frozen tab
# A report is a page of its own: without script, and with its styles in it, of which only the report's own are used.
_REPORT_POLICY = (
    "default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Pages:
    """All pages of the console at `url`. `cookie`: the name of the session's; `secure`: it is sent over TLS only."""

    settings: Settings
    hub: Hub
    topics: Topics
    sessions: keys.Sessions
    url: str
    cookie: str
    secure: bool

    def routes(self) -> list[Route]:
        """Every address there is."""
        gets: dict[str, Handler] = {
            "/": self.now,
            "/events": self.events,
            "/drills": self.drills,
            "/drills/new/{name}": self.new_drill,
            "/drills/new/{name}/preview": self.preview,
            "/drills/run/{drill_id}": self.drill,
            "/drills/run/{drill_id}/report": self.report,
            "/topics": self.topic_list,
            "/topics/dead-letters": self.dead_letters,
            "/requests": self.requests,
            "/models": self.models,
            "/models/preview": self.model_preview,
            "/sign-in": self.ask_for_key,
        }
        posts: dict[str, Handler] = {
            "/sign-in": self.sign_in,
            "/drills/start": self.start,
            "/drills/abort": self.abort,
            "/models/activate": self.activate,
        }
        return [
            *(Route(path, handler, methods=["GET"]) for path, handler in gets.items()),
            *(Route(path, handler, methods=["POST"]) for path, handler in posts.items()),
            *(Route(path, _file(path), methods=["GET"]) for path in OPEN if path.startswith("/static/")),
        ]

    async def now(self, request: Request) -> Response:
        """Who serves what, just now."""
        return self._live(request, "now.html", "now", "Now")

    async def events(self, request: Request) -> Response:
        """The stream of one page."""
        page, argument = request.query_params.get("page", ""), request.query_params.get("about", "")
        if page not in PAGES or (argument and not is_id(argument)):
            raise HTTPException(404, "there is no such page to follow")
        last_id = request.headers.get("last-event-id") or request.query_params.get("after", "")
        stream = updates(self.hub, PAGES[page], argument, panel, last_id[:20_000])
        return EventSourceResponse(stream, send_timeout=_SEND_TIMEOUT_S)

    async def drills(self, request: Request) -> Response:
        """The catalogue, what runs, and what ran."""
        wanted = request.query_params.get("q", "")[:100]
        every = (await asyncio.to_thread(catalogue)).values()
        words = wanted.lower().split()
        found = [
            drill for drill in every if all(word in f"{drill.name} {drill.what} {drill.why}".lower() for word in words)
        ]
        return self._live(request, "drills.html", "drills", "Drills", catalogue=found, wanted=wanted)

    async def new_drill(self, request: Request) -> Response:
        """The form of one drill."""
        return await self._form(request, "")

    async def preview(self, request: Request) -> Response:
        """What an order would do, before it is sent."""
        fields = dict(list(request.query_params.items())[:_MOST_FIELDS])
        try:
            order = await asyncio.to_thread(drill_orders.order_of, request.path_params["name"], fields)
            plan = await asyncio.to_thread(drill_orders.plan_of, order, self.settings)
        except DrillRejected as error:
            return await self._form(request, str(error))
        snapshot = self.hub.look().snapshot
        return self._page(
            request,
            "preview.html",
            "Drills",
            plan=plan,
            command=order,
            query=urlencode(fields),
            names_workers="worker" in plan.drill.targets,
            candidates=drill_orders.candidates(snapshot, plan, order.target),
            before=drill_orders.last_rto_ms(snapshot, plan.drill.name),
            line=drill_orders.line(order, self.settings),
            fields=list(drill_orders.fields_of(order)),
            signatures=self.settings.drills.signatures,
        )

    async def start(self, request: Request) -> Response:
        """Sends the order of a preview, and goes on to the drill's page."""
        fields = await self._posted(request)
        try:
            order = await asyncio.to_thread(drill_orders.order_of, fields["drill"], fields)
            await asyncio.to_thread(drill_orders.plan_of, order, self.settings)
            await asyncio.to_thread(drill_orders.start, order, self.settings)
        except (DrillRejected, ClusterError) as error:
            return self._problem(request, "The drill was not started", str(error), 409)
        return RedirectResponse(f"/drills/run/{quote(order.drill_id or '')}", 303)

    async def abort(self, request: Request) -> Response:
        """Asks for a drill's end."""
        drill_id = (await self._posted(request))["drill_id"]
        if not is_id(drill_id):
            raise HTTPException(400, "no drill can have this id")
        try:
            await asyncio.to_thread(drill_orders.abort, drill_id, self.settings)
        except ClusterError as error:
            return self._problem(request, "The drill was not aborted", str(error), 503)
        return RedirectResponse(f"/drills/run/{quote(drill_id)}", 303)

    async def drill(self, request: Request) -> Response:
        """One drill, live."""
        drill_id = _drill_id(request)
        return self._live(request, "drill.html", "drill", "Drills", about=drill_id, drill_id=drill_id)

    async def report(self, request: Request) -> Response:
        """The report of one drill, as `standfast drill report --html` writes it."""
        story = self.hub.look().snapshot.drill(_drill_id(request))
        if story is None:
            raise HTTPException(404, "no drill of this id is among the last ones")
        html = await asyncio.to_thread(report_page, [story])
        digest = base64.b64encode(hashlib.sha256(stylesheet().encode()).digest()).decode()
        return HTMLResponse(html, headers={"Content-Security-Policy": _REPORT_POLICY.format(digest=digest)})

    async def topic_list(self, request: Request) -> Response:
        """Topics, offsets and lag."""
        seen = await asyncio.to_thread(self.topics.seen)
        age_s = time.monotonic() - seen.at if seen.at else 0.0
        return self._page(request, "topics.html", "Topics", topics=seen.rows, age_s=age_s, problem=seen.problem)

    async def dead_letters(self, request: Request) -> Response:
        """The last dead letters of one topic, with their reasons."""
        topic, letters, problem = request.query_params.get("topic", ""), [], ""
        if not trails.is_dead_letters(topic, self.settings):
            raise HTTPException(404, "that is no topic of dead letters")
        try:
            letters = await asyncio.to_thread(trails.dead_letters, topic, self.settings)
        except ClusterError as error:
            problem = str(error)
        values: dict[str, Any] = {"topic": topic, "letters": letters, "most": trails.MOST_LETTERS, "problem": problem}
        return self._page(request, "dead_letters.html", "Topics", **values)

    async def requests(self, request: Request) -> Response:
        """One request, followed through the topics."""
        wanted, trail, problem = request.query_params.get("id", "")[:300].strip(), None, ""
        if wanted:
            try:
                trail = await asyncio.to_thread(trails.follow, wanted, self.settings)
            except ClusterError as error:
                problem = str(error)
        values: dict[str, Any] = {
            "wanted": wanted,
            "trail": trail,
            "problem": problem,
            "most": trails.MOST,
            "within_s": WITHIN_S,
        }
        return self._page(request, "requests.html", "Requests", **values)

    async def models(self, request: Request) -> Response:
        """Versions of models and who serves them."""
        snapshot, rows, problem = self.hub.look().snapshot, [], ""
        try:
            rows = await asyncio.to_thread(model_rows, snapshot)
        except (ModelError, OSError) as error:
            problem = str(error)
        elsewhere = list(served(snapshot))
        labels = {version.label for model in rows for version in model.versions}
        sent = next((label for label in labels if label == request.query_params.get("sent")), "")
        values: dict[str, Any] = {"models": rows, "elsewhere": elsewhere, "problem": problem, "sent": sent}
        return self._page(request, "models.html", "Models", **values)

    async def model_preview(self, request: Request) -> Response:
        """What activating a version, or going back to the one before, would do."""
        fields = dict(list(request.query_params.items())[:_MOST_FIELDS])
        try:
            order = await asyncio.to_thread(model_orders.order_of, fields)
        except (ModelError, OSError) as error:
            return self._problem(request, "No such version can be activated", str(error), 400)
        serving = [row for row in served(self.hub.look().snapshot) if row[0].partition("@")[0] == order.name]
        line = model_orders.line(order, self.settings)
        return self._page(request, "model_preview.html", "Models", order=order, serving=serving, line=line)

    async def activate(self, request: Request) -> Response:
        """Writes the record of a preview, and goes back to the models."""
        fields = await self._posted(request)
        try:
            order = await asyncio.to_thread(model_orders.order_of, fields)
            await asyncio.to_thread(model_orders.send, order, self.settings)
        except (ModelError, ClusterError, OSError) as error:
            return self._problem(request, "The version was not activated", str(error), 409)
        return RedirectResponse("/models?" + urlencode({"sent": order.label}), 303)

    async def ask_for_key(self, request: Request) -> Response:
        """The sign-in."""
        return self._page(request, "sign_in.html", "", problem="")

    async def sign_in(self, request: Request) -> Response:
        """Takes the token of a link and gives a session's cookie for it."""
        token = (await _fields(request))["token"]
        if not await asyncio.to_thread(keys.take, self.url, token):
            problem = "The link was used already, or is older than 15 minutes: make another one."
            return self._page(request, "sign_in.html", "", status=403, problem=problem)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            self.cookie,
            self.sessions.cookie(),
            max_age=keys.SESSION_S,
            secure=self.secure,
            httponly=True,
            samesite="strict",
        )
        return answer

    async def error(self, request: Request, error: Exception) -> Response:
        """The page of an address that is not there, or of a form that is refused."""
        code, detail = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, "")
        return self._problem(request, "Not found" if code == 404 else "Refused", detail, code)

    async def _form(self, request: Request, problem: str) -> Response:
        try:
            drill = await asyncio.to_thread(find, request.path_params["name"])
        except DrillRejected as error:
            raise HTTPException(404, str(error)) from None
        own, common = drill_orders.own_params(drill)
        workers = [
            row.id for name in self.hub.view.snapshot.services() for _, row in self.hub.view.snapshot.workers(name)
        ]
        given: defaultdict[str, str] = defaultdict(str, request.query_params.items())
        values: dict[str, Any] = {
            "drill": drill,
            "own": own,
            "common": common,
            "workers": workers,
            "given": given,
            "problem": problem,
        }
        return self._page(request, "drill_form.html", "Drills", status=400 if problem else 200, **values)

    async def _posted(self, request: Request) -> defaultdict[str, str]:
        """The fields of a form of this session; raises HTTPException for another one."""
        fields = await _fields(request)
        if not self.sessions.is_form_of(request.scope["session_cookie"], fields["form_token"]):
            raise HTTPException(403, "The form was not made for this session: load its page again.")
        return fields

    def _live(
        self, request: Request, template: str, page: str, screen: str, about: str = "", **values: Any
    ) -> Response:
        panels = self.hub.drawn(PAGES[page], about, panel)
        stream = "/events?" + urlencode({"page": page, **({"about": about} if about else {})})
        ages = self.hub.look().ages_ms()
        return self._page(
            request, template, screen, stream=stream, panels=PAGES[page], drawn=panels, ages=ages, **values
        )

    def _page(self, request: Request, template: str, screen: str, status: int = 200, **values: object) -> Response:
        shared = {"screen": screen, "view_only": self.settings.console.view_only}
        form_token = self.sessions.form_token(request.scope.get("session_cookie", ""))
        return HTMLResponse(whole(template, form_token=form_token, **shared, **values), status)

    def _problem(self, request: Request, title: str, problem: str, status: int) -> Response:
        return self._page(request, "problem.html", "", status, title=title, problem=problem or "Something went wrong.")


def _drill_id(request: Request) -> str:
    drill_id = str(request.path_params["drill_id"])
    if not is_id(drill_id):
        raise HTTPException(404, "no drill can have this id")
    return drill_id


async def _fields(request: Request) -> defaultdict[str, str]:
    """A form's fields, the last of each name. The guard has bounded its size."""
    try:
        pairs = parse_qsl((await request.body()).decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise HTTPException(400, "That is no form.") from None
    return defaultdict(str, pairs)


def _file(path: str) -> Handler:
    """Answers with one file, read once; the stylesheet has that of the drawings before it."""
    file = _STATIC / Path(path).name
    content, kind = file.read_bytes(), _KINDS[file.suffix]
    if file.suffix == ".css":
        content = stylesheet().encode() + content

    async def answer(_request: Request) -> Response:
        return Response(content, media_type=kind)

    return answer
