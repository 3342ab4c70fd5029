"""The form that has every host serve another version: what it shows, what it writes, what it refuses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException

from console import model_orders
from consumers.versions.records import ChampionKey, Place
from models import registry
from models.activations import Activation, is_sealed
from tests.support.console_desk import OURS, answer, snapshot, status

Written = list[tuple[ChampionKey, Activation]]


def _fill(draft: Path) -> tuple[Mapping[str, float], Mapping[str, str]]:
    (draft / "a.json").write_text("{}")
    return {"ndcg_10": 0.5}, {}


@pytest.fixture(autouse=True)
def two_versions(state: Path) -> None:
    for version in (1, 2):
        registry.publish("search", _fill)
        registry.activate("search", version, "ada <ada@example.org>")


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Written:
    found: Written = []

    def tell(_wire: object, key: ChampionKey, value: Activation) -> Place:
        found.append((key, value))
        return Place(0, 0)

    monkeypatch.setattr(model_orders.KafkaWire, "tell", tell)
    return found


def hidden(page: str) -> dict[str, str]:
    fields = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page))
    fields.pop("form_token")
    return fields


@pytest.mark.parametrize(("query", "before"), [("version=1", [1, 2]), ("back=yes", [])], ids=["activate", "roll back"])
def test_a_preview_becomes_a_record_in_the_topic(query: str, before: list[int], written: Written) -> None:
    preview = answer("GET", f"/models/preview?model=search&{query}", snapshot=snapshot(status())).text
    assert "search@1 (manifest" in preview
    assert "in place of search@2" in preview
    assert "search@3: search-0, search-1" in preview, "which workers change over, and from what"
    assert "console-producer --topic models" in preview
    assert "{&#34;version&#34;: 1}" in preview
    answered = answer("POST", "/models/activate", headers=OURS, form=hidden(preview))
    assert answered.headers["location"] == "/models?sent=search%401"
    [(key, record)] = written
    assert key.text == "search/champion"
    assert (record.version, record.manifest) == (1, registry.manifest_of("search", 1).digest)
    assert record.requested_by.endswith("(console)")
    assert (is_sealed("search", record), record.before) == (True, before)
    assert registry.active("search") == 2, "there is no second door: only the topic"


def test_the_models_page_leads_to_the_previews_and_says_what_was_sent() -> None:
    page = answer("GET", "/models?sent=search%401").text
    assert 'href="/models/preview?model=search&amp;version=1"' in page
    assert "Roll back to search@1" in page
    assert "by ada &lt;ada@example.org&gt;." in page
    assert "search@1 was asked for" in page
    assert "was asked for" not in answer("GET", "/models?sent=free%20money").text


def test_a_console_for_viewing_only_has_no_forms_and_takes_none(written: Written) -> None:
    page = answer("GET", "/models", view_only=True).text
    assert "Activate" not in page
    assert "Roll back" not in page
    assert "<form" not in answer("GET", "/models/preview?model=search&version=1", view_only=True).text
    refused = answer("POST", "/models/activate", headers=OURS, form={"model": "search", "version": "1"}, view_only=True)
    assert refused.status_code == 403
    assert written == []


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"model": "search", "version": "9"}, "search@9 is not published"),
        ({"model": "search", "version": "one"}, "is no number"),
        ({"model": "search", "version": "-1"}, "is no number"),
        ({"model": "nobody", "version": "1"}, "there is no model"),
        ({"model": "../search", "version": "1"}, "there is no model"),
        ({}, "there is no model"),
        ({"model": "search"}, "search@0 is not published"),
        ({"model": "search", "version": "1", "manifest": "0" * 64}, "is not what was shown"),
    ],
    ids=range(8),
)
def test_what_cannot_be_activated_is_said_and_nothing_is_written(
    fields: dict[str, str], says: str, written: Written
) -> None:
    refused = answer("POST", "/models/activate", headers=OURS, form=fields)
    assert refused.status_code == 409
    assert says in refused.text
    assert written == []


def test_with_nothing_to_go_back_to_the_page_offers_and_the_form_does_nothing(written: Written) -> None:
    registry.rollback("search")
    assert "Roll back" not in answer("GET", "/models").text
    refused = answer("GET", "/models/preview?model=search&back=yes")
    assert refused.status_code == 400
    assert "no version to go back to" in refused.text


def test_kafka_that_does_not_take_the_record_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise KafkaException(KafkaError(KafkaError._MSG_TIMED_OUT))

    monkeypatch.setattr(model_orders.KafkaWire, "tell", refuse)
    refused = answer("POST", "/models/activate", headers=OURS, form={"model": "search", "version": "1"})
    assert refused.status_code == 409
    assert "did not take the record" in refused.text
