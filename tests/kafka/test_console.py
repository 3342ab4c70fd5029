"""The console of a running system: its stream, its forms, what it says while Kafka is away, and in a browser."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe

from console import keys
from console.stream import reached
from tests.support.browser import chromium, context, needs_chromium
from tests.support.watched import Onlooker, WatchedToys, shown
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(300)
QUICK = {
    "p.before_s": "1.5", "p.after_s": "2.5", "p.rate": "80", "p.rto_ms": "60000", "p.p99_ms": "60000",
    "p.recover_within_s": "90", "t.worker": "search-0",
}  # fmt: skip


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedToys]:
    made = WatchedToys(tmp_path_factory.mktemp("watched") / "home")
    made.start()
    yield made
    made.stop()


@pytest.fixture
def onlooker(toys: WatchedToys, monkeypatch: pytest.MonkeyPatch) -> Iterator[Onlooker]:
    monkeypatch.setenv("STANDFAST_HOME", str(toys.home))
    someone = Onlooker(toys)
    yield someone
    someone.client.close()


def test_a_killed_worker_s_takeover_is_in_the_stream(toys: WatchedToys, onlooker: Onlooker) -> None:
    toys.whole()
    with shown(onlooker, "/events?page=now") as seen:
        wait_until(lambda: seen.says("search-1"), what="the first look")
        victim = next(row for row in toys.active() if row.id == "search-1")
        toys.kill(victim.pid)
        wait_until(lambda: re.search(r"<td>search-1</td>", seen.panels["takeovers"]), what="the takeover")
        assert seen.says(" ms</b>")
        assert re.fullmatch(r"drills.results/0=\d+ status/0=\d+|status/0=\d+", seen.ids[-1])


def test_a_drill_that_is_started_by_its_form_ends_with_its_verdict_in_the_page(
    toys: WatchedToys, onlooker: Onlooker
) -> None:
    toys.whole()
    preview = onlooker.client.get("/drills/new/worker-kill/preview", params=QUICK).text
    assert "console-producer --topic drills.control" in preview
    sent = onlooker.post("/drills/start", preview, drill="worker-kill", dry_run="no", **QUICK)
    assert sent.status_code == 303, sent.text
    drill = sent.headers["location"]
    with shown(onlooker, f"/events?page=drill&about={drill.rpartition('/')[2]}") as seen:
        wait_until(lambda: seen.says('class="ended"'), 120, what="a verdict")
        assert re.search(r'<b class="badge \w+">. (passed|failed|unknown)</b>', seen.panels["progress"])
    assert "(console)" in onlooker.page(drill)
    assert "<svg" in onlooker.page(f"{drill}/report")


def test_a_killed_console_is_back_with_its_sessions_and_shows_what_was_shown(
    toys: WatchedToys, onlooker: Onlooker
) -> None:
    before = next(row for row in toys.status().roles if row.id == "console")
    with shown(onlooker, "/events?page=now") as seen:
        wait_until(lambda: seen.says("search-1"), what="the first look")
        takeovers = seen.panels["takeovers"]
        toys.kill(before.pid)
        wait_until(lambda: _console_of(toys) not in {0, before.pid}, 60, what="another console")
    with shown(onlooker, "/events?page=now", last_id=seen.ids[-1]) as again:
        wait_until(lambda: again.updates, what="a reconnect with the old session")
        assert reached(again.ids[0], seen.ids[-1])
        assert again.panels["takeovers"] == takeovers


def _console_of(toys: WatchedToys) -> int:
    """The process of a console that answers; 0 if there is none."""
    console = next(row for row in toys.status().roles if row.id == "console")
    return console.pid if console.state == "running" else 0


def test_while_kafka_is_away_the_page_says_so_and_then_goes_on(toys: WatchedToys, onlooker: Onlooker) -> None:
    toys.whole()
    broker = next(row for row in toys.status().roles if row.id.startswith("kafka"))
    with shown(onlooker, "/events?page=now") as seen:
        wait_until(lambda: seen.says("search-0"), what="the first look")
        os.kill(broker.pid, signal.SIGSTOP)
        try:
            wait_until(lambda: seen.says("Kafka does not answer") and seen.ages["kafka"] > 2000, 30, what="the age")
            assert seen.says("search-0"), "what it last knew"
        finally:
            os.kill(broker.pid, signal.SIGKILL)
        wait_until(lambda: not seen.says("Kafka does not answer") and seen.ages["kafka"] < 2000, 60, what="Kafka back")
        last = seen.ids[-1]
    with shown(onlooker, "/events?page=now", last_id=last) as again:
        wait_until(lambda: again.ids, what="a reconnect")
        assert reached(again.ids[0], last)


SCREENS = (
    "/", "/drills", "/drills/new/worker-kill", "/drills/new/worker-kill/preview?t.worker=search-0", "/drills/run/none",
    "/topics", "/topics/dead-letters?topic=search.requests.dlq", "/requests?id=none", "/models", "/sign-in", "/nothing",
)  # fmt: skip


@needs_chromium
def test_people_see_everything_in_light_and_dark_wide_and_narrow_with_and_without_script(
    toys: WatchedToys, onlooker: Onlooker
) -> None:
    toys.whole()
    wrong: list[str] = []
    with chromium() as browser:
        first = browser.new_context()
        page = first.new_page()
        page.on("console", lambda message: wrong.append(f"the browser says {message.text}"))
        page.goto(keys.link(onlooker.url))
        page.get_by_role("status").get_by_text("Live").wait_for()
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main", "the first stop of the keyboard skips the menu"
        state = first.storage_state()
        for width, theme in ((1440, "light"), (360, "dark")):
            window = context(browser, width, theme, state).new_page()
            for path in SCREENS:
                window.goto(onlooker.url + path)
                found = [f"{path} {theme} {width}: {one['id']}" for one in Axe().run(window).response["violations"]]
                if window.evaluate("document.documentElement.scrollWidth") > width:
                    found.append(f"{path} is wider than {width}")
                wrong += found
        plain = context(browser, 1440, "light", state, script=False).new_page()
        plain.goto(onlooker.url)
        assert plain.get_by_role("row").filter(has_text="search-0").count() > 0
    assert wrong == []
