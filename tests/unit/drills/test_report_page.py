"""A report says what its evidence says, shows nothing unescaped, loads nothing, and is refused when it was changed."""

from __future__ import annotations

import random
import re
from html.parser import HTMLParser
from xml.etree import ElementTree as Xml

import msgspec
import pytest

from drills.control.events import bounded
from drills.evidence import logbook
from drills.evidence.checker import measure
from drills.evidence.circumstances import HIDDEN, Circumstances, Moment, circumstances
from drills.evidence.history import History
from drills.evidence.terms import Terms, verdict_fields
from drills.evidence.verdict import Finding, Objectives
from drills.reports import embedding
from drills.reports.drawing import stylesheet
from drills.reports.junit import junit_xml
from drills.reports.markdown import markdown_text
from drills.reports.page import drawn_from, page
from drills.reports.report import Story
from drills.reports.sealing import UNSEALED, sealed
from drills.reports.verifying import verified
from schemas.records import DrillEvent
from standfast.core.settings import KafkaSettings, Settings
from tests.unit.drills.histories import history

TERMS = Terms(Objectives(rto_ms=5000, p99_ms=2000), Finding("passed", "it struck"), Finding("passed", "it is undone"))
NASTY = "<script>alert(1)</script>"
CHANGES = 1000


def story(kept: History, terms: Terms = TERMS, drill_id: str = "d1", **changes: object) -> Story:
    """The events of a drill with that history, judged as the runner does."""
    fields = msgspec.structs.asdict(verdict_fields(terms, measure(kept), ()))
    accepted = DrillEvent(drill_id=drill_id, drill="worker-kill", phase="accepted", at=1_780_000_000_000)
    injected = msgspec.structs.replace(accepted, phase="injected", at=accepted.at + 3000)
    last = bounded(msgspec.structs.replace(accepted, phase="completed", at=accepted.at + 9000, **{**fields, **changes}))
    return Story(drill_id, (accepted, injected, last))


def report(kept: History, *, terms: Terms = TERMS, under: Circumstances | None = None, **changes: object) -> str:
    """The page of one drill whose history the machine kept."""
    logbook.keep("d1", kept, terms, under)
    return page([story(kept, terms, **changes)])


@pytest.fixture(name="small", scope="module")
def one_small_report(tmp_path_factory: pytest.TempPathFactory) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STANDFAST_HOME", str(tmp_path_factory.mktemp("home")))
        return report(history(300, trouble=0.05))


def test_a_report_is_confirmed_by_computing_its_verdicts_anew(small: str) -> None:
    found = verified(small.encode())
    assert (found.trust, found.reasons) == ("confirmed", [])
    assert [(drill.verdict, drill.trust) for drill in found.drills] == [("failed", "confirmed")]


def test_every_changed_file_is_refused(small: str) -> None:
    data, dice = small.encode(), random.Random(15)
    for _ in range(CHANGES):
        at, how = dice.randrange(len(data)), dice.choice(("flip", "cut", "add", "swap"))
        changed = bytearray(data)
        if how == "flip":
            changed[at] ^= 1 << dice.randrange(8)
        elif how == "cut":
            del changed[at : at + dice.randint(1, 40)]
        elif how == "add":
            changed[at:at] = dice.randbytes(dice.randint(1, 8))
        else:
            other = dice.randrange(len(data))
            changed[at], changed[other] = changed[other], changed[at]
        assert bytes(changed) == data or verified(bytes(changed)).trust == "refused", f"{how} at {at}"


def test_a_page_that_was_sealed_again_is_refused_if_it_says_something_else(small: str) -> None:
    for was, told in ((">failed</span>", ">passed</span>"), ("<h1>Drills", "<h1>All well"), (">lost<", ">won<")):
        changed = small.replace(was, told, 1)
        assert changed != small
        found = verified(sealed(re.sub(r'(digest" content=")\w{64}', rf"\g<1>{UNSEALED}", changed)).encode())
        assert found.trust == "refused"
        assert "drawn again" in found.reasons[0]


@pytest.mark.usefixtures("state")
def test_a_verdict_that_does_not_follow_from_its_history_is_refused() -> None:
    found = verified(report(history(300, trouble=0.05), verdict="passed", lost=0).encode())
    assert found.trust == "refused"
    assert "another verdict, lost" in found.drills[0].reason


@pytest.mark.usefixtures("state")
def test_without_a_history_or_terms_nothing_is_confirmed() -> None:
    assert verified(page([story(history(300), drill_id="of-another-machine")]).encode()).trust == "unknown"
    logbook.keep("d1", history(300))
    assert verified(page([story(history(300))]).encode()).trust == "unknown"


@pytest.mark.usefixtures("state")
def test_a_drill_without_a_verdict_needs_no_history() -> None:
    event = DrillEvent(drill_id="d2", drill="worker-kill", phase="rejected", at=1, reason="no", verdict="rejected")
    assert verified(page([Story("d2", (event,))]).encode()).trust == "confirmed"


@pytest.mark.usefixtures("state")
def test_a_dry_run_needs_no_history() -> None:
    """`drill verify` ended with 2 for every report with one in it."""
    checks = dict.fromkeys(("verdict", "injected", "held", "undone"), "unknown")
    event = DrillEvent(drill_id="d3", drill="worker-kill", phase="completed", at=1, reason="dry run", **checks)  # type: ignore[arg-type]
    assert verified(page([Story("d3", (event,))]).encode()).trust == "confirmed"


@pytest.mark.usefixtures("state")
def test_a_long_history_is_shortened_and_confirmed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "MOST_WHOLE", 1000)
    monkeypatch.setattr(embedding, "DRAWN", 400)
    text = report(history(3000, trouble=0.01))
    found = verified(text.encode())
    assert found.trust == "confirmed", found
    assert "the others are only counted" in found.drills[0].reason
    assert re.search(r"Of 3,000 requests, \d{3} are inside", text)


def test_every_lost_and_doubled_request_is_listed_and_its_finding_leads_there(small: str) -> None:
    kept = history(300, trouble=0.05)
    lost = [each.request_id for each in kept.requests if each.sent == "acked" and not each.answers]
    assert lost
    for request_id in lost:
        assert f"<td>{request_id}</td>" in small
    assert re.search(r'accepted requests lost \(0 promised\).{0,200}<a href="#d1.lost">', small, re.DOTALL)
    anchors = set(re.findall(r' id="([^"]+)"', small))
    assert set(re.findall(r'href="#([^"]+)"', small)) <= anchors


@pytest.mark.usefixtures("state")
def test_nothing_from_a_topic_reaches_the_page_unescaped() -> None:
    kept = history(40)
    answer = msgspec.structs.replace(kept.requests[0].answers[0], worker=NASTY, status=NASTY)
    request = msgspec.structs.replace(kept.requests[0], request_id=NASTY, answers=(answer,))
    kept = msgspec.structs.replace(kept, requests=(request, *kept.requests[1:]), unexpected=(NASTY,))
    under = Circumstances(machine={NASTY: NASTY})
    text = report(kept, under=under, reason=NASTY, drill=NASTY, params={NASTY: NASTY}, target={"worker": NASTY})
    assert NASTY not in text
    assert "&lt;script&gt;" in text


class Outside(HTMLParser):
    """Collects what a page would load, run or style by an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        bad = {"src", "style", "srcset", "action", "background"}
        if tag in {"script", "link", "img", "iframe", "object"}:
            self.found.append(tag)
        self.found += [name for name, value in attributes if name in bad or name.startswith("on")]
        self.found += [
            value or "" for name, value in attributes if "href" in name and not (value or "").startswith("#")
        ]


def test_a_page_loads_nothing_and_forbids_to_load_anything(small: str) -> None:
    outside = Outside()
    outside.feed(small)
    assert outside.found == []
    assert "default-src 'none'; style-src 'sha256-" in small
    assert "url(" not in stylesheet()
    assert "@import" not in stylesheet()


def test_behind_every_chart_there_is_a_table(small: str) -> None:
    figures = re.findall(r'<figure class="chart">.*?</figure>', small, re.DOTALL)
    assert len(figures) == 5
    assert all("<table>" in figure for figure in figures)


def test_the_same_evidence_gives_the_same_page(small: str) -> None:
    evidence = small.partition('id="standfast-evidence">')[2].partition("<")[0]
    assert drawn_from(evidence) == small


@pytest.mark.usefixtures("state")
def test_circumstances_tell_what_was_set_and_no_secret() -> None:
    kafka = KafkaSettings(bootstrap_servers="broker:9092", client={"sasl.password": "hush"})
    known = circumstances(Settings(kafka=kafka), ["search@1"], Moment.now())
    assert known.settings["kafka.bootstrap_servers"] == "broker:9092"
    assert known.settings["kafka.client"] == HIDDEN
    assert "hush" not in msgspec.json.encode(known).decode()
    assert known.models == {"search@1": ""}, "this machine has no such model"
    assert {"python", "standfast"} <= known.versions.keys()


def test_junit_has_a_failure_for_what_failed_and_an_error_for_what_is_not_known() -> None:
    kept = history(300, trouble=0.05)
    rejected = DrillEvent(drill_id="d2", drill="\x00<x>", phase="rejected", at=1, reason="no\x0b", verdict="rejected")
    root = Xml.fromstring(junit_xml([story(kept), Story("d2", (rejected,))]))  # noqa: S314 - our own
    first, second = root.findall("testsuite")
    findings = story(kept).last.findings or []
    assert int(first.get("tests", "")) == len(findings) > 5
    assert int(first.get("failures", "")) == sum(line.startswith("failed") for line in findings) > 0
    assert (second.get("skipped"), root.get("failures")) == ("1", first.get("failures"))


def test_markdown_cannot_be_broken_out_of() -> None:
    nasty = "a|b\n# <b>x</b> [l](javascript:x) `c`"
    text = markdown_text([story(history(300), reason=nasty), story(history(300), drill_id="d2", drill=nasty)])
    assert "<b>" not in text
    assert "[l](" not in text
    assert "\n# <" not in text
    assert "| when | drill |" in text
    assert "✔ 0 of 300 accepted requests lost" in text
