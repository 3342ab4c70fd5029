"""Only a host without any member counts as gone, and only its own slots are ended."""

from __future__ import annotations

from consumers.service import service
from consumers.supervision.neighbours import by_host, gone, with_earlier
from standfast.core.settings import Settings

OWN = service("search", Settings.model_validate({"workers": {"host": "b"}}))


def test_hosts_are_told_apart_by_their_members() -> None:
    clients = [f"{OWN.worker_id(1)}@{OWN.slot(0)}", f"{OWN.worker_id(0)}@{OWN.slot(3)}", "search-0@search-s2", "other"]
    assert by_host(clients, "search") == {"b": {"search-b-s0", "search-b-s3"}, "": {"search-s2"}}


def test_a_host_that_lost_one_worker_is_not_gone() -> None:
    before = {"a": {"search-a-s0", "search-a-s1"}, "b": {"search-b-s0"}}
    assert gone(before, {"a": {"search-a-s1"}, "b": {"search-b-s0"}}, "b") == []
    assert gone(before, {"a": {"search-a-s5"}, "b": {"search-b-s0"}}, "b") == []


def test_a_host_without_members_is_gone_unless_it_is_this_one() -> None:
    before = {"a": {"search-a-s0"}, "b": {"search-b-s0"}}
    assert gone(before, {"b": {"search-b-s0"}}, "b") == [{"search-a-s0"}]
    assert gone(before, {"a": {"search-a-s0"}}, "b") == []
    assert gone({}, {}, "b") == []


def test_workers_whose_sessions_end_one_after_the_other_are_all_among_the_gone() -> None:
    looks = [{"a": {"search-a-s0", "search-a-s1"}, "b": {"search-b-s0"}}, {"a": {"search-a-s1"}, "b": {"search-b-s0"}}]
    seen = with_earlier(with_earlier({}, looks[0]), looks[1])
    assert gone(seen, {"b": {"search-b-s0"}}, "b") == [{"search-a-s0", "search-a-s1"}]
    assert with_earlier(seen, {"b": {"search-b-s0"}}) == {"b": {"search-b-s0"}}
