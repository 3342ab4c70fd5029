"""What the pages say of the records on the topics; and that nothing on a topic becomes a part of a page."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from sse_starlette import ServerSentEvent

from console.drawing import PAGES, panel
from console.hub import Hub
from console.lanes_now import MOST_LANES, lanes_now
from console.snapshot import Held
from console.stream import reached, updates
from drills.reports.live_figures import by_topic
from models import registry
from schemas.records import DrillCommand
from standfast.core.errors import ClusterError
from tests.support.console_desk import OURS, Record, answer, event, known, snapshot, status, takeover, worker

AT = 1_700_000_000_000
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
pytestmark = pytest.mark.usefixtures("state")


def test_now_says_who_took_over_from_whom_and_how_long_it_took() -> None:
    page = answer("GET", "/", snapshot=snapshot(status(takeovers=[takeover(AT)]))).text
    assert re.search(r"search-s2, pid 13</td><td>search-0</td>.*66\.4 ms", page)
    assert "search.requests 0, 2" in page
    assert "2 of 2" in page


def test_nothing_on_a_topic_becomes_part_of_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = status(
        host=EVIL,
        detail=EVIL,
        workers=[worker(EVIL, 1, [0])],
        takeovers=[takeover(AT, worker=EVIL, standby=EVIL, partitions={EVIL: [0]})],
    )
    drill = event("rejected", reason=EVIL, requested_by=EVIL, target={EVIL: EVIL}, findings=[EVIL, f"passed: {EVIL}"])
    shot = snapshot(hostile, drill)
    for path in ("/", "/drills", "/drills/run/d1", "/drills/run/d1/report", f"/drills?q={EVIL}", "/models"):
        page = answer("GET", path, snapshot=shot).text
        assert "<img" not in page, path
        assert "alert(1)</script>" not in page, path
    preview = answer("GET", "/drills/new/worker-kill/preview", snapshot=shot).text
    assert "<img" not in preview


def test_without_kafka_the_page_says_so_and_shows_what_it_last_knew() -> None:
    page = answer("GET", "/", snapshot=snapshot(status(), problem="Kafka does not answer: timed out")).text
    assert "Kafka does not answer: timed out" in page
    assert "search-1" in page


def test_a_form_becomes_the_order_that_a_console_producer_would_send(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[DrillCommand] = []
    monkeypatch.setattr("console.drill_orders.send", lambda order, *_: sent.append(order))
    fields = {"p.rate": "100", "p.service": "search", "p.rto_ms": "5000.0", "t.worker": "search-0", "t.partition": ""}
    preview = answer("GET", f"/drills/new/worker-kill/preview?{'&'.join(f'{k}={v}' for k, v in fields.items())}",
                     snapshot=snapshot(status())).text  # fmt: skip
    assert "{&#34;drill&#34;:&#34;worker-kill&#34;,&#34;target&#34;:{&#34;worker&#34;:&#34;search-0&#34;}" in preview
    assert "search-0 on here-1: search.requests 0, 2" in preview
    hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', preview))
    hidden.pop("form_token")
    answered = answer("POST", "/drills/start", headers=OURS, form={**hidden, "dry_run": "no"})
    (order,) = sent
    assert answered.headers["location"] == f"/drills/run/{order.drill_id}"
    assert (order.drill, order.target, order.params) == ("worker-kill", {"worker": "search-0"}, {"rate": 100})
    assert (order.requested_by or "").endswith("(console)")
    assert str(order.seed) == hidden["seed"], "the same seed as in the preview"
    assert order.valid_until is not None


def test_an_abort_is_an_order_on_the_control_topic_too(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[DrillCommand] = []
    monkeypatch.setattr("console.drill_orders.send", lambda order, *_: sent.append(order))
    answered = answer("POST", "/drills/abort", headers=OURS, form={"drill_id": "d1"})
    assert answered.headers["location"] == "/drills/run/d1"
    assert [(order.abort, order.drill) for order in sent] == [("d1", None)]
    page = answer("GET", "/drills/run/d1", snapshot=snapshot(event("accepted"), event("injected"))).text
    assert "Abort: undo everything now" in page


def test_kafka_that_takes_no_order_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ClusterError("Kafka at x did not take the command")

    monkeypatch.setattr("console.drill_orders.send", refuse)
    for path, form in (("/drills/start", {"drill": "worker-kill"}), ("/drills/abort", {"drill_id": "d1"})):
        refused = answer("POST", path, headers=OURS, form=form)
        assert refused.status_code >= 400
        assert "did not take the command" in refused.text


@pytest.mark.parametrize(
    ("query", "says"), [("p.rate=many", "rate = "), ("t.partition=x", "target.partition"), ("p.x=1", "no param")]
)
def test_a_wrong_value_is_named_and_the_form_keeps_what_was_filled_in(query: str, says: str) -> None:
    refused = answer("GET", f"/drills/new/worker-kill/preview?{query}&t.worker=search-1")
    assert refused.status_code == 400
    assert says in refused.text
    assert 'value="search-1"' in refused.text


def test_the_positions_are_the_id_of_an_event_and_a_restarted_console_waits_until_it_is_as_far() -> None:
    assert known(status(), status(), event("accepted")).snapshot("").positions == "drills.results/0=3 status/0=2"
    assert not reached("", "status/0=5"), "a console that has just begun knows nothing"
    assert not reached("status/0=5", "status/0=5 drills.results/0=9")
    assert reached("drills.results/0=9 status/0=7", "status/0=5 drills.results/0=9")
    assert not reached("drills.results/0=8 status/0=5", "status/0=5 drills.results/0=9")
    assert reached("status/0=5", "nonsense status/0=-1 status/0=x"), "an id that we did not write"

    async def first_id() -> str | None:
        hub = Hub()
        behind, abreast = snapshot(status()), snapshot(status(), status())
        hub._set(behind, hub.view.measures)
        asyncio.get_running_loop().call_later(0.05, lambda: hub._set(abreast, hub.view.measures))
        return (await anext(_followed(hub, "status/0=2"))).id

    assert asyncio.run(first_id()) == "status/0=2"


def test_changes_are_gathered_to_four_updates_a_second_and_only_changed_panels_are_sent() -> None:
    async def gathered() -> list[dict[str, str]]:
        hub, fold = Hub(), known()
        stream, seen = _followed(hub, ""), []
        for number in range(40):
            told = msgspec.json.encode(status(detail=f"detail {number}"))
            fold.take(Record("status", told, number, b"here-1"))  # type: ignore[arg-type]
            hub._set(fold.snapshot(""), hub.view.measures)
            if number % 8 == 0:
                seen.append(json.loads((await anext(stream)).data)["panels"])
            await asyncio.sleep(0.005)
        return seen

    began = asyncio.run(_timed(gathered()))
    seen, took = began
    assert len(seen) == 5
    assert 0.9 < took < 3, "the fifth waits for a second since the first"
    assert all("system" in one for one in seen)
    assert "takeovers" in seen[0]
    assert all("takeovers" not in later for later in seen[1:]), "what did not change is not sent again"


async def _timed(work: object) -> tuple[list[dict[str, str]], float]:
    began = asyncio.get_running_loop().time()
    return await work, asyncio.get_running_loop().time() - began  # type: ignore[misc]


def _followed(hub: Hub, last_id: str) -> AsyncIterator[ServerSentEvent]:
    return updates(hub, PAGES["now"], "", panel, last_id)


def test_owners_of_partitions_are_kept_with_the_process_since_a_takeover_keeps_the_name() -> None:
    later = status(at=AT + 5000, workers=[worker("search-0", 13, [0, 2]), worker("search-1", 12, [1])])
    held = dict(known(status(), later).snapshot("").held)
    assert held["search.requests", 0] == (Held("search-0 (pid 13)", AT + 5000),), (
        "pid 11's time is over two minutes ago"
    )
    shot = snapshot(status(takeovers=[takeover(AT)]), later)
    figure = lanes_now(shot, "search")
    assert "search-0 (pid 13)" in figure
    assert "66.4 ms" in figure


def test_of_a_thousand_partitions_some_are_drawn_and_the_page_says_how_many() -> None:
    many = status(workers=[worker("search-0", 11, list(range(1000)))])
    figure = lanes_now(snapshot(many), "search")
    assert f"{MOST_LANES} of 1000 partitions are drawn" in figure


def test_figures_are_by_topic_and_say_when_the_backlog_is_gone() -> None:
    text = """
standfast_requests_total{topic="search.requests",status="ok"} %d
standfast_requests_total{topic="search.requests",status="overloaded"} %d
standfast_request_seconds_bucket{topic="search.requests",le="0.01"} %d
standfast_lag_records{topic="search.requests",partition="0"} 50
"""
    earlier, later = by_topic(text % (10, 0, 10))["search.requests"], by_topic(text % (30, 5, 35))["search.requests"]
    later.at = earlier.at + 1
    figures = later.since(earlier)
    assert (figures.rate, figures.errors, figures.p99_ms, figures.drains_in_s) == (25, 5, 10, 2)


def test_a_console_that_cannot_listen_says_which_setting_is_wrong(tmp_path: Path) -> None:
    import socket

    from console.server import run
    from standfast.core.errors import SetupError
    from standfast.core.settings import ConsoleSettings, KafkaSettings, Settings

    with socket.create_server(("127.0.0.1", 0)) as taken:
        console = ConsoleSettings(port=taken.getsockname()[1])
        with pytest.raises(SetupError, match=r"set another console\.port, 0 for any free one"):
            run(Settings(kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1"), console=console))


def test_models_shows_the_challenger_with_its_share_and_why_the_last_one_was_ended() -> None:
    for _ in range(2):
        registry.publish("search", _written)
    registry.activate("search", 1)
    begun = registry.begin_canary("search", 2, 0.1, shadow=False).canary
    page = answer("GET", "/models", snapshot=snapshot(status())).text
    assert re.search(r"search@1</th>.*✔ active", page)
    assert re.search(r"search@2</th>.*<b>challenger</b>: answers 10 % of the keys", page)
    assert begun is not None
    registry.end_canary("search", begun, f"search@2 was ended: {EVIL}")
    page = answer("GET", "/models", snapshot=snapshot(status())).text
    assert "challenger</b>" not in page
    assert "The last challenger: search@2 was ended: " in page
    assert "<img" not in page


def _written(folder: Path) -> tuple[dict[str, float], dict[str, str]]:
    (folder / "a.json").write_text("{}")
    return {}, {}


def test_the_console_imports_no_library_of_models() -> None:
    """It runs on every host, beside workers that need the memory."""
    import subprocess
    import sys

    code = "import sys, console.__main__; print(*{'torch', 'transformers', 'scipy', 'faust'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == ""
