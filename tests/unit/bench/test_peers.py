"""The peers of a comparison: how they are chosen, and the error if one cannot be used."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

import pytest

from bench.beside import contenders
from bench.beside.contenders import chosen
from bench.beside.run import comparison_plan
from bench.peers.computing import result
from schemas.records import Item, SearchRequest
from standfast.core.errors import SetupError, UsageError


def test_peers_are_chosen_by_name_each_once_in_the_order_given() -> None:
    assert [peer.name for peer in chosen("plain-eos,plain,plain-eos,raw")] == ["plain-eos", "plain"]


def test_the_raw_limit_alone_needs_no_peer() -> None:
    assert chosen("raw") == []


def test_a_wrong_name_is_answered_with_the_right_ones() -> None:
    with pytest.raises(UsageError, match=r"--against triton: there are .*litserve.* all"):
        chosen("plain,triton")


def test_peers_that_are_not_installed_are_named_with_how_to_install_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name in {"litserve", "ray"}:
            raise PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(contenders, "version", version)
    with pytest.raises(SetupError, match=r"litserve and ray: not installed; `make peers` installs"):
        chosen("litserve,plain,ray")


def test_only_searches_can_be_long() -> None:
    with pytest.raises(UsageError, match="only searches have a length"):
        comparison_plan("raw", {"recommend": [512]}, None, 3, "long")
    with pytest.raises(UsageError, match="there are uniform and long"):
        comparison_plan("raw", {"search": [64]}, None, 3, "short")


def test_a_mixed_load_is_of_searches_alone() -> None:
    assert list(comparison_plan("raw", {"search": [1, 64], "recommend": [512]}, None, 3, "long").levels.items()) == [
        ("search", [64])
    ]


def test_what_peers_answer_is_what_standfast_answers() -> None:
    answer = result(SearchRequest(request_id="r1", query="lunch bag"), [Item("20725", 1.5, "LUNCH BAG")])
    assert (answer.request_id, answer.status) == ("r1", "ok")
    assert [(item.item_id, item.score, item.title) for item in answer.items] == [("20725", 1.5, "LUNCH BAG")]
