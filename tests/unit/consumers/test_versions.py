"""One registry for all hosts: what the topic's records mean, who is right, and that all hosts come to agree."""

from __future__ import annotations

import itertools
import json
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consumers.versions import host_versions, records
from consumers.versions.agreement import Mark, decide
from consumers.versions.known import Told
from consumers.versions.records import ChampionKey, FilesSent, Place, VersionKey, VersionRecord, Want, WantKey
from models import registry
from models.activations import Activation, sealed_activation
from models.canary import Canary
from models.manifests import FileEntry, Manifest, sealed
from standfast.core.errors import ModelError, UsageError
from standfast.core.home import folder
from tests.support.shared_registry import PaperHost, Topics, settle

_AT = Place(0, 7)
pytestmark = pytest.mark.usefixtures("state")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_versions, "_SEND_WITHIN_S", 0.0)
    monkeypatch.setattr(host_versions, "_ASK_AGAIN_S", 0.0)


@pytest.fixture
def hosts(tmp_path: Path) -> list[PaperHost]:
    topics = Topics()
    return [PaperHost(name, tmp_path / name, topics) for name in ("a", "b", "c")]


def manifest(version: int = 3, **files: FileEntry) -> Manifest:
    entries = files or {"mark.json": FileEntry("0" * 64, 5)}
    return sealed(Manifest("search", version, 1, entries, {}, {}))


# what is on the topic


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (VersionKey("search", 3), VersionRecord(manifest(), FilesSent("b-1f0c9a2e", 12))),
        (VersionKey("search", 3), None),
        (ChampionKey("search"), sealed_activation("search", Activation(3, [1, 2], "0" * 64, 5, "ada"))),
        (
            ChampionKey("search"),
            sealed_activation("search", Activation(3, canary=Canary(4, 0.1, since=5, manifest="0" * 64), ended="why")),
        ),
        (ChampionKey("search"), None),
        (WantKey(VersionKey("search", 3), "b-1f0c9a2e"), Want(5)),
    ],
    ids=["version", "version deleted", "champion", "challenger", "champion deleted", "want"],
)  # fmt: skip
def test_a_record_is_read_as_it_was_written(key: records.Key, value: records.Value | None) -> None:
    written = None if value is None else msgspec.json.encode(value)
    assert records.read(key.text.encode(), written, _AT, 9) == records.Entry(key, value, _AT, 9)


def _version(changed: Manifest) -> bytes:
    return msgspec.json.encode(VersionRecord(changed))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (None, b"{}"),
        (b"", b"{}"),
        (b"search", b"{}"),
        (b"search@0", _version(manifest())),
        (b"search@4", _version(manifest())),
        (b"../search@3", _version(manifest())),
        (b"search@3", _version(msgspec.structs.replace(manifest(), created_at=2))),
        (b"search@3", _version(manifest(**{"../x.json": FileEntry("0" * 64, 5)}))),
        (b"search@3", _version(manifest(**{"x.py": FileEntry("0" * 64, 5)}))),
        (b"search@3", _version(manifest(**{"x.json": FileEntry("0" * 64, 1 << 60)}))),
        (b"search@3", _version(manifest(**{"x.json": FileEntry("0" * 64, -1)}))),
        (b"search/champion", b""),
        (b"search/champion", b"search@3"),
        (b"search/champion", b"<!doctype html>"),
        (b"search/champion", b"\xff\xfe"),
        (b"search/champion", b"[" * 100_000),
        (b"search/champion", b'{"version": "3"}'),
        (b"search/champion", b'{"version": 0}'),
        (b"search/champion", b'{"version": true}'),
        (b"search/champion", b'{"version": 1e400}'),
        (b"search/champion", json.dumps({"version": 3, "requested_by": "x" * 1000}).encode()),
        (b"search/champion", json.dumps({"version": 3, "ended": "x" * 9000}).encode()),
        (b"search/champion", b'{"version": 3, "canary": 4}'),
        (b"search/champion", b'{"version": 3, "canary": {"share": 0.1}}'),
        (b"search/champion", b'{"version": 3, "canary": {"version": 3, "share": 0.1}}'),
        (b"search/champion", b'{"version": 3, "canary": {"version": 0, "share": 0.1}}'),
        (b"search/champion", b'{"version": 3, "canary": {"version": 4}}'),
        (b"search/champion", b'{"version": 3, "canary": {"version": 4, "share": 10}}'),
        (b"search/champion", b'{"version": 3, "canary": {"version": 4, "share": -0.1}}'),
        (b"search/champion", b'{"version": 3, "canary": {"version": 4, "share": "10%"}}'),
        (b"search/champion", b'{"version": 3, "canary": {"version": 4, "share": 0.1, "since": 9007199254740992}}'),
        (b"search/challenger", b'{"version": 3}'),
        (b"search@3/wanted/", b"{}"),
        (b"search@3/wanted/a/b", b"{}"),
    ],
    ids=range(34),
)  # fmt: skip
def test_what_is_no_record_is_refused_in_one_line(key: bytes | None, value: bytes) -> None:
    with pytest.raises(records.Refused) as refused:
        records.read(key, value, _AT, 9)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 500


@given(st.binary(max_size=200) | st.none(), st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(key: bytes | None, value: bytes) -> None:
    for one in (key, b"search/champion", b"search@3", b"search@3/wanted/a"):
        try:
            records.read(one, value, _AT, 9)
        except records.Refused:
            continue


# who is right


def _told(version: int, at: int = 10, offset: int = 7) -> Told:
    return Told(sealed_activation("search", Activation(version, [], "0" * 64, at)), Place(0, offset), at)


def _local(version: int, at: int = 10) -> Activation:
    return _told(version, at).activation


def _mark(local: Activation, offset: int = 7) -> Mark:
    return Mark("topic", 0, offset, local.digest)


@pytest.mark.parametrize(
    ("local", "told", "mark", "decision"),
    [
        (None, None, None, "nothing"),
        (None, _told(1), None, "follow"),
        (_local(1), None, None, "publish"),
        (_local(1), None, _mark(_local(1)), "publish"),
        (_local(1), _told(1), None, "agree"),
        (_local(2, at=99), _told(1), None, "follow"),
        (_local(1), _told(2, offset=8), _mark(_local(1)), "follow"),
        (_local(2), _told(1), _mark(_local(1)), "publish"),
        (_local(2, at=20), _told(3, at=15, offset=8), _mark(_local(1)), "publish"),
        (_local(2, at=12), _told(3, at=15, offset=8), _mark(_local(1)), "follow"),
    ],
    ids=["nothing anywhere", "new host", "new topic", "deleted on the topic", "the same", "never followed",
         "changed there", "changed here", "changed on both, here later", "changed on both, there later"],
)  # fmt: skip
def test_who_is_right(local: Activation | None, told: Told | None, mark: Mark | None, decision: str) -> None:
    assert decide(local, told, mark) == decision


_HOST = st.integers(0, 2)
_OPERATIONS = st.one_of(
    st.tuples(st.just("train"), _HOST, st.none()),
    st.tuples(st.just("activate"), _HOST, st.integers(0, 9)),
    st.tuples(st.just("rollback"), _HOST, st.none()),
    st.tuples(st.just("canary"), _HOST, st.integers(0, 9)),
    st.tuples(st.just("ended"), _HOST, st.none()),
    st.tuples(st.just("canary by hand"), _HOST, st.integers(0, 9)),
    st.tuples(st.just("step"), _HOST, st.none()),
    st.tuples(st.just("killed"), _HOST, st.integers(0, 8)),
    st.tuples(st.just("by hand"), _HOST, st.integers(0, 9)),
    st.tuples(st.just("garbage"), _HOST, st.none()),
    st.tuples(st.just("compact"), _HOST, st.none()),
    st.tuples(st.just("made anew"), _HOST, st.none()),
)


def _does(what: str, host: PaperHost, number: int | None, count: int) -> None:
    topics = host.wire.topics
    there = sorted(host.versions())
    if what == "train":
        host.train(f"{host.name} {count}")
    elif what == "activate" and there and number is not None:
        host.activate(there[number % len(there)])
    elif what == "rollback":
        with suppress(ModelError):  # nothing to go back to
            host.rollback()
    elif what == "step":
        host.step()
    elif what == "killed":
        host.step(number)
    elif what == "by hand" and there and number is not None:
        topics.write("search/champion", b'{"version": %d}' % there[number % len(there)])
    elif what == "garbage":
        topics.write("search/champion", b"rollback, please")
    elif what == "compact":
        topics.compact()
    elif what == "made anew":
        topics.made_anew()
    else:
        _does_with_a_canary(what, host, number or 0, count)


def _does_with_a_canary(what: str, host: PaperHost, number: int, count: int) -> None:
    there = sorted(host.versions())
    if what == "canary" and there:
        with suppress(ModelError, UsageError):  # nothing serves, or this version does
            host.begin_canary(there[number % len(there)])
    elif what == "ended":
        host.end_canary(f"it was worse {count}")
    elif what == "canary by hand" and there:
        champion, challenger = there[number % len(there)], there[number // 3 % len(there)]
        record = b'{"version": %d, "canary": {"version": %d, "share": 0.5}}' % (champion, challenger)
        host.wire.topics.write("search/champion", record)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(_OPERATIONS, max_size=25))
def test_whatever_happens_all_hosts_come_to_serve_one_version_and_every_number_is_one_version(
    operations: list[tuple[str, int, int | None]],
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        topics = Topics()
        hosts = [PaperHost(name, Path(scratch) / name, topics) for name in ("a", "b", "c")]
        hosts[0].train("the first")
        for count, (what, host, number) in enumerate(operations):
            _does(what, hosts[host], number, count)
        settle(hosts)
        _agree(hosts)


def _agree(hosts: list[PaperHost]) -> None:
    active = [host.active() for host in hosts]
    assert len({(one.version, one.manifest, one.canary, one.ended) for one in active if one}) == 1, active
    assert None not in active
    [first, *_] = active
    assert first is not None
    by_number: dict[int, set[str]] = {}
    for host in hosts:
        for number, digest in host.versions().items():
            by_number.setdefault(number, set()).add(digest)
        assert host.versions()[first.version] == first.manifest
        if first.canary is not None:
            assert host.versions()[first.canary.version] == first.canary.manifest
        assert not host.notes["search"]
    assert all(len(digests) == 1 for digests in by_number.values()), by_number


# what a host does


def test_a_version_activated_on_one_host_is_fetched_and_served_by_all_and_rolled_back_from_any(
    hosts: list[PaperHost],
) -> None:
    a, b, c = hosts
    a.train("one")
    settle(hosts)
    a.train("two")
    settle(hosts)
    assert [host.active().version for host in hosts] == [2, 2, 2]  # type: ignore[union-attr]
    assert c.rollback() == 1, "the version before is on every host"
    settle(hosts)
    assert [host.active().version for host in hosts] == [1, 1, 1]  # type: ignore[union-attr]
    assert a.wire.topics.files == [], "nobody lacks anything, so nothing is kept"
    assert b.train("three") == 3


def test_a_record_by_hand_is_followed_and_one_of_a_version_that_nobody_has_is_said(hosts: list[PaperHost]) -> None:
    hosts[0].train("one")
    hosts[0].train("two")
    settle(hosts)
    topics = hosts[0].wire.topics
    topics.write("search/champion", b'{"version": 1, "requested_by": "ada"}')
    settle(hosts)
    for host in hosts:
        now = host.active()
        assert now is not None
        assert (now.version, now.before[-1], now.requested_by) == (1, 2, "ada")
    topics.write("search/champion", b'{"version": 9}')
    settle(hosts)
    assert {host.notes["search"] for host in hosts} == {"the topic models names search@9, of which no host has told"}
    topics.write("search/champion", json.dumps({"version": 2, "manifest": "0" * 64}).encode())
    settle(hosts)
    assert all("but search@2 is" in host.notes["search"] for host in hosts)
    assert [host.active().version for host in hosts] == [1, 1, 1]  # type: ignore[union-attr]
    hosts[1].activate(2)
    settle(hosts)
    assert [host.active().version for host in hosts] == [2, 2, 2]  # type: ignore[union-attr]


def test_a_canary_begins_on_all_hosts_and_the_guard_of_any_ends_it_on_all(hosts: list[PaperHost]) -> None:
    a, b, c = hosts
    a.train("one")
    settle(hosts)
    a.train("two")
    a.activate(1)
    a.begin_canary(2)
    a.step()
    a.step()
    b.step()
    assert b.loaded() == (1, None), "the champion serves alone until the challenger's files are there"
    assert b.notes["search"] == "search@2 is not here; its files are asked for"
    settle(hosts)
    assert [host.loaded() for host in hosts] == [(1, 2)] * 3
    assert len({str(host.active()) for host in hosts}) == 1
    b.end_canary("search@2 was worse")
    settle(hosts)
    assert [host.loaded() for host in hosts] == [(1, None)] * 3
    for host in hosts:
        now = host.active()
        assert now is not None
        assert (now.ended, now.requested_by) == ("search@2 was worse", "standfast")
    c.begin_canary(2)
    settle(hosts)
    a.activate(2)
    settle(hosts)
    assert [host.loaded() for host in hosts] == [(2, None)] * 3


def test_a_canary_by_hand_is_followed_and_one_of_a_version_that_nobody_has_is_said(hosts: list[PaperHost]) -> None:
    hosts[0].train("one")
    hosts[0].train("two")
    settle(hosts)
    topics = hosts[0].wire.topics
    topics.write("search/champion", b'{"version": 1, "canary": {"version": 2, "share": 0.1}}')
    settle(hosts)
    _agree(hosts)
    assert [host.loaded() for host in hosts] == [(1, 2)] * 3
    topics.write("search/champion", b'{"version": 1, "canary": {"version": 9, "shadow": true}}')
    settle(hosts)
    assert [host.loaded() for host in hosts] == [(1, None)] * 3
    said = "the topic models names search@9 as challenger, of which no host has told"
    assert {host.notes["search"] for host in hosts} == {said}
    topics.write("search/champion", json.dumps(
        {"version": 1, "canary": {"version": 2, "share": 0.1, "manifest": "0" * 64}}
    ).encode())  # fmt: skip
    settle(hosts)
    assert all("as challenger, but it is" in host.notes["search"] for host in hosts)
    with hosts[0].here(), pytest.raises(ModelError, match="not the one that was activated"):
        registry.checked("search", 2)
    topics.write("search/champion", b'{"version": 1}')
    settle(hosts)
    _agree(hosts)


def test_a_challenger_that_gets_another_number_goes_on_under_it(hosts: list[PaperHost]) -> None:
    a, b, _ = hosts
    a.train("one")
    a.train("two")
    a.begin_canary(1)
    b.train("of b")
    b.train("of b too")
    b.step()
    a.step()
    a.step()
    now = a.active()
    assert now is not None
    with a.here():
        numbers = {
            registry.manifest_of("search", number).lineage["mark"]: number for number in registry.versions("search")
        }
    assert (now.version, now.canary and now.canary.version) == (numbers["two"], numbers["one"])
    assert numbers["one"] > 2
    settle(hosts)
    _agree(hosts)


def test_a_host_that_trained_before_it_joined_keeps_its_version_under_another_number(hosts: list[PaperHost]) -> None:
    a, b, _ = hosts
    a.train("of a")
    a.step()
    own = b.train("of b")
    assert own == 1
    b.serving = {"search@1"}
    settle([a, b])
    assert b.versions().keys() >= {1, 2}, "while workers serve it the folder stays"
    assert "of this host is not the system's" in b.notes["search"]
    moved = b.active()
    assert moved is not None
    assert moved.version == 2
    b.serving = {"search@2"}
    settle([a, b])
    _agree([a, b])
    assert b.versions()[1] == a.versions()[1]
    with b.here():
        assert registry.manifest_of("search", 2).lineage["mark"] == "of b"


def test_while_some_process_has_not_said_what_it_serves_no_folder_goes(hosts: list[PaperHost]) -> None:
    a, b, _ = hosts
    a.train("of a")
    a.step()
    b.train("of b")
    before = b.versions()[1]
    b.serving = None
    settle([a, b])
    assert b.versions()[1] == before


def test_a_change_while_the_host_was_away_counts_if_it_is_the_later_one(
    hosts: list[PaperHost], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_now", itertools.count(time.time_ns() // 1_000_000).__next__)
    a, b, _ = hosts
    a.train("one")
    a.train("two")
    settle(hosts)
    b.activate(1)
    a.activate(2)
    a.step()
    settle(hosts)
    assert [host.active().version for host in hosts] == [2, 2, 2]  # type: ignore[union-attr]
    a.activate(2)
    b.activate(1)
    a.step()
    settle(hosts)
    assert [host.active().version for host in hosts] == [1, 1, 1]  # type: ignore[union-attr]


def test_wrong_bytes_are_refused_said_and_asked_for_again(hosts: list[PaperHost]) -> None:
    a, b, _ = hosts
    a.train("one")
    a.wire.spoils = True
    said = set()
    for _ in range(4):
        a.step()
        b.step()
        said.add(b.notes["search"])
    assert any("SHA-256" in text and "sent by a" in text for text in said), said
    assert b.versions() == {}
    assert b.active() is None
    a.wire.spoils = False
    settle([a, b])
    _agree([a, b])


def test_a_version_that_is_damaged_at_its_only_host_is_said_there(hosts: list[PaperHost]) -> None:
    a, b, _ = hosts
    a.train("one")
    a.step()
    with a.here():
        (registry.folder_of("search", 1) / "mark.json").write_text('"two"')
    for _ in range(4):
        b.step()
        a.step()
    assert "cannot be sent" in a.notes["search"]
    assert b.notes["search"] == "search@1 is not here; no other host has sent its files yet"


def test_a_lost_or_damaged_folder_comes_back_from_another_host(hosts: list[PaperHost]) -> None:
    a, b, _ = hosts
    a.train("one")
    settle(hosts)
    with b.here():
        registry.withdraw("search", 1)
        (folder("models", "search") / "active.json").write_text("{")
    settle(hosts)
    _agree(hosts)


@pytest.mark.parametrize("lives", range(12))
def test_a_host_killed_at_any_record_leaves_nothing_that_the_next_one_does_not_mend(
    hosts: list[PaperHost], lives: int
) -> None:
    a, b, c = hosts
    a.train("one")
    for _ in range(3):
        a.step(lives)
        b.step(lives)
    c.train("of c")
    c.step(lives)
    settle(hosts)
    _agree(hosts)
