"""A version comes out of its chunks as it went in, or not at all; nothing outside its folder is ever written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models import chunks, registry
from models.manifests import FileEntry, Manifest, sealed
from models.renumbering import renumbered
from standfast.core.errors import IntegrityError, ModelError

Chunk = tuple[bytes, bytes]
_THREE_CHUNKS = bytes(range(256)) * 2 * 2048 + b"the third"


def _fill(folder: Path) -> tuple[Mapping[str, float], Mapping[str, str]]:
    (folder / "words").mkdir()
    (folder / "words" / "same.json").write_text('{"a": 1}')
    (folder / "same.json").write_text('{"a": 1}')
    (folder / "empty.json").write_bytes(b"")
    (folder / "weights.safetensors").write_bytes(_THREE_CHUNKS)
    return {"ndcg_10": 0.5}, {"encoder": "bundled"}


@pytest.fixture
def sent(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Manifest, list[Chunk]]:
    """A version and its chunks; the state folder is then another, empty one."""
    manifest = registry.publish("search", _fill)
    made = list(chunks.chunks(registry.folder_of("search", 1), manifest))
    monkeypatch.setenv("STANDFAST_HOME", str(tmp_path / "elsewhere"))
    return manifest, made


def _place(manifest: Manifest, received: list[Chunk]) -> None:
    registry.place(manifest, lambda draft: chunks.assemble(manifest, received, draft))


def _forget() -> None:
    for version in registry.versions("search"):
        registry.withdraw("search", version)


def _everything(root: Path) -> set[Path]:
    return {path for path in root.rglob("*") if path.name not in {".lock", ".last"} and not path.is_dir()}


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_version_comes_out_of_its_chunks_in_any_order_among_others(
    sent: tuple[Manifest, list[Chunk]], data: st.DataObject
) -> None:
    _forget()
    manifest, made = sent
    assert {key for key, _ in made} == set(chunks.keys(manifest))
    assert all(len(content) <= chunks.SIZE for _, content in made)
    strange = [(b"", b"x"), (b"\xff/0", b"x"), (made[0][0] + b"9", b"x"), (b"../../x", b"x")]
    _place(manifest, data.draw(st.permutations([*made, *strange])))
    assert registry.verify("search", 1) == []
    assert registry.manifest_of("search", 1) == manifest


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.integers(0, 4), where=st.floats(0, 1, exclude_max=True), cut=st.booleans())
def test_one_wrong_cut_or_missing_chunk_is_refused_and_nothing_is_left(
    sent: tuple[Manifest, list[Chunk]], tmp_path: Path, which: int, where: float, cut: bool
) -> None:
    manifest, made = sent
    before = _everything(tmp_path)
    key, content = made[which]
    place = int(where * len(content))
    wrong = content[:place] if cut else content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
    others = [chunk for chunk in made if chunk[0] != key]
    for received in ([*others, (key, wrong)], others, [*others, (key, content * 3)]):
        with pytest.raises(ModelError):
            _place(manifest, received)
    assert registry.versions("search") == registry.half_versions("search") == []
    assert _everything(tmp_path) == before


@pytest.mark.parametrize(
    "name", ["../../../stolen.json", "/stolen.json", "a/../../b.json", "code.py", "manifest.json", ""]
)
def test_a_manifest_with_a_file_elsewhere_is_refused_before_anything_is_written(
    sent: tuple[Manifest, list[Chunk]], tmp_path: Path, name: str
) -> None:
    manifest, made = sent
    entry = manifest.files["same.json"]
    hostile = sealed(msgspec.structs.replace(manifest, files={**manifest.files, name: entry}))
    before = _everything(tmp_path)
    with pytest.raises(IntegrityError, match="is refused"):
        _place(hostile, made)
    assert _everything(tmp_path) == before


def test_a_manifest_that_was_changed_is_refused(sent: tuple[Manifest, list[Chunk]]) -> None:
    manifest, made = sent
    changed = msgspec.structs.replace(manifest, files={**manifest.files, "more.json": FileEntry("0" * 64, 0)})
    with pytest.raises(IntegrityError, match="its digest is not its own"):
        _place(changed, made)


def test_a_damaged_version_is_replaced_and_another_one_of_that_number_is_not(
    sent: tuple[Manifest, list[Chunk]],
) -> None:
    manifest, made = sent
    _place(manifest, made)
    (registry.folder_of("search", 1) / "weights.safetensors").write_bytes(b"cut")
    _place(manifest, made)
    assert registry.verify("search", 1) == []
    (registry.folder_of("search", 1) / "manifest.json").unlink()
    _place(manifest, made)
    assert registry.verify("search", 1) == []
    other = sealed(msgspec.structs.replace(manifest, created_at=1))
    with pytest.raises(ModelError, match="holds another search@1"):
        _place(other, made)
    assert registry.manifest_of("search", 1) == manifest


def test_a_renumbered_version_is_the_same_files_and_active_if_it_was(state: Path) -> None:
    first = registry.publish("search", _fill)
    registry.activate("search", 1)
    registry.reserve("search", 7)  # of other hosts
    again = renumbered("search", 1)
    assert (again.version, again.files) == (8, first.files)
    assert again.lineage["renumbered"] == f"search@1 {first.digest}"
    now = registry.activation("search")
    assert now is not None
    assert (now.version, now.manifest) == (8, again.digest)
    assert renumbered("search", 1) == again, "killed and begun anew, no third number is given"
    registry.withdraw("search", 1)
    assert registry.verify("search", 8) == []
    (registry.folder_of("search", 8) / "same.json").write_text('{"a": 2}')
    with pytest.raises(IntegrityError, match="not whole"):
        renumbered("search", 8)
    assert registry.versions("search") == [8]
    assert registry.publish("search", _fill).version == 9
