"""Published models: a version is complete or not there, and every byte is as published."""

from __future__ import annotations

import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from typer.testing import CliRunner

from models import registry
from models.activations import Activation
from models.loading import load
from models.manifests import Manifest, sealed
from standfast.commands.models import app
from standfast.core.errors import IntegrityError, ModelError, UsageError

pytestmark = pytest.mark.usefixtures("empty_home")


def _fill(folder: Path) -> tuple[Mapping[str, float], Mapping[str, str]]:
    (folder / "sub").mkdir()
    (folder / "sub" / "index.json").write_text('{"a": 1}')
    (folder / "weights.safetensors").write_bytes(bytes(range(256)) * 8)
    return {"ndcg_10": 0.5}, {"encoder": "bundled"}


def test_a_published_version_is_listed_but_serves_only_when_activated() -> None:
    manifest = registry.publish("search", _fill)
    assert manifest.label == "search@1"
    assert registry.versions("search") == [1]
    assert registry.active("search") is None
    registry.activate("search", 1)
    assert registry.active("search") == 1
    assert registry.checked("search")[1] == manifest


def test_rollback_goes_back_version_by_version_and_then_says_there_is_no_more() -> None:
    for version in (1, 2, 3):
        registry.publish("search", _fill)
        registry.activate("search", version)
    assert registry.rollback("search") == 2
    assert registry.rollback("search") == 1
    with pytest.raises(ModelError, match="no version to go back to"):
        registry.rollback("search")
    assert registry.active("search") == 1


def test_the_versions_that_served_before_are_those_that_are_still_there_the_last_one_first() -> None:
    assert registry.served_before("search", 1) == []
    for version in (1, 2, 3, 4):
        registry.publish("search", _fill)
        registry.activate("search", version)
    registry.activate("search", 2)
    assert registry.served_before("search", 2) == [4, 3, 1]
    shutil.rmtree(registry.folder_of("search", 3))
    assert registry.served_before("search", 2) == [4, 1]
    (registry.folder_of("search", 1).parent / "active.json").write_text("{")
    assert registry.served_before("search", 2) == []


def _first_of(count: int) -> None:
    """So many versions of `search`; the first is active."""
    for _ in range(count):
        registry.publish("search", _fill)
    registry.activate("search", 1)


def canary_of(name: str = "search") -> tuple[int, float, bool] | None:
    found = registry.activation(name)
    assert found is not None
    return None if found.canary is None else (found.canary.version, found.canary.share, found.canary.shadow)


def test_a_challenger_is_tried_beside_what_serves_and_promoted_or_taken_back() -> None:
    _first_of(3)
    registry.begin_canary("search", 2, 0.1, shadow=False)
    assert (registry.active("search"), canary_of()) == (1, (2, 0.1, False))
    registry.activate("search", 2)
    assert (registry.active("search"), canary_of()) == (2, None)
    registry.begin_canary("search", 3, 0.0, shadow=True)
    assert registry.rollback("search") == 2, "the canary ends first"
    assert (registry.active("search"), canary_of()) == (2, None)
    assert registry.rollback("search") == 1


def test_a_share_that_changes_is_the_same_canary_and_a_new_one_is_not() -> None:
    _first_of(3)
    first = registry.begin_canary("search", 2, 0.1, shadow=True).canary
    second = registry.begin_canary("search", 2, 0.5, shadow=False).canary
    assert first is not None
    assert first.is_same(second)
    assert canary_of() == (2, 0.5, False)
    assert registry.end_canary("search", first, "it was worse")
    assert not registry.end_canary("search", first, "it was worse still")
    ended = registry.activation("search")
    assert ended is not None
    assert (ended.version, ended.canary, ended.ended) == (1, None, "it was worse")
    third = registry.begin_canary("search", 3, 0.5, shadow=False)
    assert third.canary is not None
    assert (third.canary.is_same(second), third.ended) == (False, "")


def test_what_serves_again_by_name_has_no_challenger() -> None:
    _first_of(2)
    registry.begin_canary("search", 2, 0.1, shadow=False)
    registry.activate("search", 1)
    assert (registry.active("search"), canary_of()) == (1, None)
    assert registry.served_before("search", 1) == []


def test_only_another_whole_version_beside_one_that_serves_can_be_a_challenger() -> None:
    registry.publish("search", _fill)
    with pytest.raises(ModelError, match="no search model is active; run `standfast models activate search@1`"):
        registry.begin_canary("search", 1, 0.1, shadow=False)
    registry.activate("search", 1)
    with pytest.raises(UsageError, match="search@1 is the version that serves"):
        registry.begin_canary("search", 1, 0.1, shadow=False)
    registry.publish("search", _fill)
    (registry.folder_of("search", 2) / "weights.safetensors").write_bytes(b"")
    with pytest.raises(IntegrityError, match="weights"):
        registry.begin_canary("search", 2, 0.1, shadow=False)
    assert canary_of() is None


def test_a_record_of_an_earlier_release_is_read(empty_home: Path) -> None:
    """`digest` is as that release wrote it."""
    _first_of(2)
    digest = hashlib.sha256(b"search 2 [1]").hexdigest()
    (empty_home / "models" / "search" / "active.json").write_text(f'{{"version":2,"before":[1],"digest":"{digest}"}}')
    assert (registry.active("search"), canary_of()) == (2, None)
    assert registry.rollback("search") == 1


def test_a_flipped_bit_in_the_record_of_a_canary_is_found(empty_home: Path) -> None:
    _first_of(2)
    registry.begin_canary("search", 2, 0.1, shadow=False)
    file = empty_home / "models" / "search" / "active.json"
    file.write_bytes(file.read_bytes().replace(b'"share":0.1', b'"share":0.9'))
    with pytest.raises(IntegrityError, match=r"active\.json was damaged"):
        registry.activation("search")


def test_the_commands_begin_change_show_and_end_a_canary() -> None:
    _first_of(2)

    def said(*words: str) -> str:
        done = CliRunner().invoke(app, list(words), catch_exceptions=False)
        assert done.exit_code == 0
        return done.output

    beside = "search@2 is the challenger and answers 10 % of the keys; search@1 is active\n"
    assert said("activate", "search@2", "--canary", "10%") == beside
    assert "+ search@2" in said("list")
    assert "challenger: answers 10 % of the keys" in said("list")
    assert said("show", "search@challenger").startswith("search@2 (challenger: answers 10 % of the keys)")
    assert said("show", "search@champion").startswith("search@1 (active)")
    both = said("activate", "search@challenger", "--canary", "0.5%", "--shadow")
    assert "answers 0.5 % of the keys and computes in the shadow" in both
    assert said("rollback", "search") == "search@1 is active\n"
    assert said("activate", "search@2", "--shadow").startswith("search@2 is the challenger and computes in the shadow;")
    assert said("activate", "search@challenger") == "search@2 is active\n"


@pytest.mark.parametrize("share", ["0%", "100%", "0.1", "10", "-5%", "many", "1e1%", "101%"])
def test_a_share_that_is_none_is_refused(share: str) -> None:
    _first_of(2)
    with pytest.raises(UsageError, match="write a share above 0% and below 100%, such as 10%"):
        CliRunner().invoke(app, ["activate", "search@2", f"--canary={share}"], catch_exceptions=False)
    assert canary_of() is None


def test_an_alias_that_names_nothing_says_what_to_do() -> None:
    _first_of(1)
    with pytest.raises(UsageError, match="search has no challenger"):
        CliRunner().invoke(app, ["show", "search@challenger"], catch_exceptions=False)


def test_a_version_that_is_not_there_is_refused_by_name() -> None:
    registry.publish("search", _fill)
    with pytest.raises(ModelError, match=r"search@7 is not published \(there: 1\)"):
        registry.activate("search", 7)


def test_nothing_trained_yet_says_what_to_run() -> None:
    with pytest.raises(ModelError, match="standfast models train recommend"):
        load("recommend")


@pytest.mark.parametrize("name", ["../search", "", "a/b", "a b"])
def test_a_name_that_would_leave_the_folder_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        registry.versions(name)


@pytest.mark.parametrize("suffix", [".pt", ".pkl", ".bin", ""])
def test_files_that_could_hold_code_are_not_published(suffix: str) -> None:
    def pickled(folder: Path) -> tuple[Mapping[str, float], Mapping[str, str]]:
        (folder / f"model{suffix}").write_bytes(b"x")
        return {}, {}

    with pytest.raises(ModelError, match="safetensors"):
        registry.publish("search", pickled)
    assert registry.versions("search") == []


def test_a_trainer_that_fails_leaves_nothing() -> None:
    def fails(folder: Path) -> tuple[Mapping[str, float], Mapping[str, str]]:
        _fill(folder)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        registry.publish("search", fails)
    assert registry.versions("search") == []


_KILLED = """
import os, signal
from pathlib import Path
from models import registry
def fill(folder):
    (folder / "weights.json").write_text("{}")
    if MOMENT == "filling": os.kill(os.getpid(), signal.SIGKILL)
    return {}, {}
real = registry.sync_tree
def dies(root):
    if MOMENT == "moving": os.kill(os.getpid(), signal.SIGKILL)
    real(root)
registry.sync_tree = dies
registry.publish("search", fill)
"""


@pytest.mark.parametrize("moment", ["filling", "moving"])
def test_a_trainer_killed_in_the_middle_leaves_no_version_and_blocks_nobody(moment: str) -> None:
    code = f"MOMENT = {moment!r}\n{_KILLED}"
    ended = subprocess.run([sys.executable, "-c", code], check=False, timeout=60, env=os.environ.copy())
    assert ended.returncode == -signal.SIGKILL
    assert registry.versions("search") == []
    assert registry.publish("search", _fill).version == 1


def test_trainers_at_the_same_time_get_versions_of_their_own() -> None:
    code = (
        "from models import registry\n"
        "def fill(folder):\n    (folder / 'a.json').write_text('{}')\n    return {}, {}\n"
        "for _ in range(5): registry.publish('search', fill)\n"
    )
    trainers = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [trainer.wait(60) for trainer in trainers] == [0, 0, 0]
    assert registry.versions("search") == list(range(1, 16))
    assert not [problem for version in range(1, 16) for problem in registry.verify("search", version)]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    file=st.sampled_from(["manifest.json", "weights.safetensors", "sub/index.json"]),
    where=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
)
def test_any_flipped_bit_in_any_file_is_found_and_refused(file: str, where: float, bit: int) -> None:
    manifest = registry.publish("search", _fill)
    path = registry.folder_of("search", manifest.version) / file
    data = bytearray(path.read_bytes())
    data[int(where * len(data))] ^= 1 << bit
    path.write_bytes(bytes(data))
    assert registry.verify("search", manifest.version)
    with pytest.raises(IntegrityError, match=Path(file).name):
        registry.checked("search", manifest.version)
    with pytest.raises(IntegrityError):
        registry.activate("search", manifest.version)
    shutil.rmtree(path.parents[len(Path(file).parts) - 1])  # each publication reads all versions


@pytest.mark.parametrize("size", [0, 100, 5000])
def test_a_file_cut_short_or_grown_is_refused(size: int) -> None:
    registry.publish("search", _fill)
    path = registry.folder_of("search", 1) / "weights.safetensors"
    path.write_bytes(b"\0" * size)
    assert "bytes" in registry.verify("search", 1)[0]


def test_a_missing_file_is_refused() -> None:
    registry.publish("search", _fill)
    (registry.folder_of("search", 1) / "sub" / "index.json").unlink()
    assert "cannot be read" in registry.verify("search", 1)[0]


def test_another_versions_manifest_put_in_place_is_refused() -> None:
    for _ in range(2):
        registry.publish("search", _fill)
    first, second = (registry.folder_of("search", version) / "manifest.json" for version in (1, 2))
    second.write_bytes(first.read_bytes())
    with pytest.raises(IntegrityError, match="search@1, not search@2"):
        registry.checked("search", 2)


def test_a_damaged_pointer_is_named_and_mended_by_activating(empty_home: Path) -> None:
    registry.publish("search", _fill)
    registry.activate("search", 1)
    pointer = empty_home / "models" / "search" / "active.json"
    pointer.write_bytes(pointer.read_bytes().replace(b'"version":1', b'"version":2'))
    with pytest.raises(IntegrityError, match=r"active\.json"):
        registry.active("search")
    registry.activate("search", 1)
    assert registry.active("search") == 1


def test_an_active_version_whose_folder_became_another_one_is_not_loaded(empty_home: Path) -> None:
    registry.publish("search", _fill)
    registry.activate("search", 1)
    before = (registry.folder_of("search", 1) / "manifest.json").read_bytes()
    registry.withdraw("search", 1)
    other = sealed(msgspec.structs.replace(msgspec.json.decode(before, type=Manifest), created_at=1))
    registry.place(other, _fill)
    assert registry.verify("search", 1) == []
    with pytest.raises(IntegrityError, match="not the one that was activated"):
        registry.checked("search", 1)
    registry.activate("search", 1)
    assert registry.checked("search")[1] == other


def test_the_pointer_of_an_earlier_release_is_read(empty_home: Path) -> None:
    for _ in range(2):
        registry.publish("search", _fill)
    digest = hashlib.sha256(b"search 2 [1]").hexdigest()
    pointer = empty_home / "models" / "search" / "active.json"
    pointer.write_text(json.dumps({"version": 2, "before": [1], "digest": digest}))
    assert registry.active("search") == 2
    assert registry.rollback("search") == 1
    pointer.write_text(json.dumps({"version": 2, "before": [1], "manifest": "0" * 64, "digest": digest}))
    with pytest.raises(IntegrityError, match="damaged"):
        registry.active("search")


def test_an_activation_is_followed_only_in_place_of_the_one_that_was_seen() -> None:
    for _ in range(2):
        registry.publish("search", _fill)
    registry.activate("search", 1)
    seen = registry.activation("search")
    assert seen is not None
    wanted = Activation(2, [1], registry.manifest_of("search", 2).digest, 5)
    registry.activate("search", 1, "somebody else")
    assert not registry.follow("search", wanted, seen.digest)
    assert registry.active("search") == 1
    with pytest.raises(IntegrityError):
        registry.follow("search", msgspec.structs.replace(wanted, manifest="0" * 64), seen.digest)
    now = registry.activation("search")
    assert now is not None
    assert registry.follow("search", wanted, now.digest)
    assert registry.rollback("search") == 1


@pytest.mark.parametrize("reserved", [0, 1, 7])
def test_numbers_that_other_hosts_have_given_are_not_given_here(reserved: int) -> None:
    registry.publish("search", _fill)
    registry.reserve("search", reserved)
    assert registry.publish("search", _fill).version == max(2, reserved + 1)


def _published(count: int) -> Path:
    """Publishes `count` versions of search and activates the last; returns their folder."""
    for version in range(1, count + 1):
        registry.publish("search", _fill)
        registry.activate("search", version)
    return registry.folder_of("search", 1).parent


def _run(remedy: str) -> None:
    """Runs the `standfast models …` command that a message names."""
    words = re.findall(r"`standfast models ([^`]+)`", remedy)[-1].split()
    assert words[0] == "activate", words
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("copy", ["search-backup", "search_backup", "search/01", "search/1 (copy)"])
def test_a_copy_beside_the_models_hides_none_of_them(copy: str) -> None:
    folder = _published(1)
    shutil.copytree(folder / "1" if "/" in copy else folder, folder.parent / copy)
    listed = CliRunner().invoke(app, ["list"])
    assert listed.exit_code == 0
    assert "* search@1" in listed.output
    assert registry.versions("search") == [1]
    assert CliRunner().invoke(app, ["verify", "search"]).exit_code == 0


def test_one_damaged_version_is_listed_as_such_beside_the_others() -> None:
    folder = _published(2)
    (folder / "1" / "manifest.json").write_bytes(b'{"name"')
    listed = CliRunner().invoke(app, ["list"]).output
    assert "search@1  damaged" in listed
    assert "* search@2" in listed
    assert json.loads(CliRunner().invoke(app, ["list", "--json"]).output)[0]["problem"]
    assert CliRunner().invoke(app, ["verify"]).exit_code == 1


def test_half_a_version_blocks_no_training_and_is_told_by_verify() -> None:
    folder = _published(1)
    (folder / "2").mkdir()
    assert registry.publish("search", _fill).version == 3
    assert "has no manifest.json" in CliRunner().invoke(app, ["verify"]).output
    (folder / "2").rmdir()
    assert CliRunner().invoke(app, ["verify"]).exit_code == 0


@pytest.mark.parametrize("lost", ["nothing", ".last", "active.json"])
def test_a_number_is_never_given_twice(lost: str) -> None:
    folder = _published(3)
    registry.activate("search", 1)
    shutil.rmtree(folder / "3")
    (folder / lost).write_bytes(b"\xff") if lost != "nothing" else None
    assert registry.publish("search", _fill).version == 4


def test_an_active_version_that_is_gone_is_found_and_its_remedy_works() -> None:
    folder = _published(3)
    (folder / "2" / "weights.safetensors").write_bytes(b"cut")
    shutil.rmtree(folder / "3")
    checked = CliRunner().invoke(app, ["verify"])
    assert checked.exit_code == 1
    assert "search@3 is active, but it is gone" in checked.output
    with pytest.raises(ModelError, match="search@3 is not published") as refused:
        registry.checked("search")
    _run(str(refused.value))
    assert registry.active("search") == 1, "the newest complete version"


def test_with_no_whole_version_left_the_remedy_is_training() -> None:
    folder = _published(1)
    shutil.rmtree(folder / "1")
    assert CliRunner().invoke(app, ["verify"]).exit_code == 1
    with pytest.raises(ModelError, match="run `standfast models train search`"):
        registry.checked("search")


def test_the_remedy_for_a_damaged_pointer_works() -> None:
    folder = _published(2)
    (folder / "active.json").write_bytes(b"{}")
    with pytest.raises(IntegrityError) as refused:
        registry.active("search")
    _run(str(refused.value))
    assert registry.active("search") == 2


def test_a_rollback_passes_over_versions_that_are_damaged_or_gone() -> None:
    folder = _published(4)
    (folder / "3" / "weights.safetensors").write_bytes(b"cut")
    shutil.rmtree(folder / "2")
    assert registry.rollback("search") == 1


def test_a_full_disk_is_one_line_and_leaves_nothing() -> None:
    def full(folder: Path) -> tuple[Mapping[str, float], Mapping[str, str]]:
        save_file({"a": torch.zeros(100_000)}, folder / "a.safetensors")
        return {}, {}

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, before[1]))
    try:
        with pytest.raises(ModelError, match="free some space"):
            registry.publish("search", full)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert registry.versions("search") == registry.half_versions("search") == []
