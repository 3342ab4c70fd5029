"""A version comes out of an archive as it went in, or not at all; a hostile archive writes nothing anywhere."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models import registry
from models.archives import export_version, import_version
from standfast.core.errors import IntegrityError, ModelError, StandfastError


def _fill(folder: Path) -> tuple[Mapping[str, float], Mapping[str, str]]:
    (folder / "words").mkdir()
    np.save(folder / "words" / "counts.npy", np.arange(50))
    (folder / "search.json").write_text('{"weight": 0.5}')
    return {"ndcg_10": 0.4}, {"catalogue": "abc"}


@pytest.fixture
def archive(state: Path, tmp_path: Path) -> Path:
    file = tmp_path / "search-1.tar"
    export_version("search", registry.publish("search", _fill).version, file)
    return file


@pytest.mark.parametrize("name", ["plain.tar", "packed.tar.gz"])
def test_a_version_goes_to_another_machine_and_is_the_same_under_the_next_number(
    archive: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_version("search", 1, tmp_path / name)
    before = registry.manifest_of("search", 1)
    monkeypatch.setenv("STANDFAST_HOME", str(tmp_path / "elsewhere"))
    registry.publish("search", _fill)
    imported = import_version(tmp_path / name)
    assert (imported.label, imported.files, imported.metrics) == ("search@2", before.files, before.metrics)
    assert imported.lineage == {"catalogue": "abc", "imported": f"search@1 {before.digest}"}
    assert registry.verify("search", 2) == []
    assert registry.active("search") is None


def _everything(root: Path) -> set[Path]:
    return {path for path in root.rglob("*") if path.name not in {".lock", ".last"}}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), packed=st.booleans())
def test_a_flipped_bit_is_refused_or_changes_nothing(archive: Path, where: float, bit: int, packed: bool) -> None:
    file = archive.with_name("changed.tar.gz" if packed else "changed.tar")
    export_version("search", 1, file)
    data = bytearray(file.read_bytes())
    data[int(where * len(data))] ^= 1 << bit
    file.write_bytes(data)
    versions = registry.versions("search")
    try:
        imported = import_version(file)
    except StandfastError:
        assert registry.versions("search") == versions
    else:  # a bit that says nothing: of the padding, or of a file's time and owner
        assert imported.files == registry.manifest_of("search", 1).files


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True))
def test_what_was_cut_is_refused_in_one_line(archive: Path, share: float) -> None:
    data = archive.read_bytes()
    end = data.rindex(b"}") + 1  # of the last file; what follows are zeros
    cut = archive.with_name("cut.tar")
    cut.write_bytes(data[: int(share * end)])
    with pytest.raises(StandfastError) as raised:
        import_version(cut)
    assert "\n" not in str(raised.value)


def _with(archive: Path, member: tarfile.TarInfo, data: bytes = b"{}") -> Path:
    changed = archive.with_name("more.tar")
    with tarfile.open(archive) as before, tarfile.open(changed, "w") as after:
        for old in before:
            after.addfile(old, before.extractfile(old))
        member.size = len(data) if member.isreg() else 0
        after.addfile(member, io.BytesIO(data))
    return changed


@pytest.mark.parametrize(
    "name", ["search@1/../../../stolen.json", "/stolen.json", "search@1//stolen.json", "search@1/code.py", "x", ""]
)
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE], ids=str)
def test_a_member_that_the_manifest_does_not_name_is_refused(
    archive: Path, tmp_path: Path, name: str, kind: bytes
) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/passwd"
    hostile = _with(archive, member)
    before = _everything(tmp_path)
    with pytest.raises(IntegrityError, match=r"no file of search@1"):
        import_version(hostile)
    assert _everything(tmp_path) == before


def test_a_link_in_place_of_a_file_is_refused(archive: Path) -> None:
    member = tarfile.TarInfo("search@1/search.json")
    member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with pytest.raises(IntegrityError):
        import_version(_with(archive, member))


def test_no_archive_at_all_is_said(tmp_path: Path, state: Path) -> None:
    file = tmp_path / "notes.tar"
    with pytest.raises(ModelError, match="No such file"):
        import_version(file)
    file.write_text("shopping list")
    with pytest.raises(ModelError, match="cannot be read as a model's archive"):
        import_version(file)


def test_an_export_that_fails_leaves_the_file_that_was_there(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = archive.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "add", full)
    with pytest.raises(ModelError, match="No space left"):
        export_version("search", 1, archive)
    assert archive.read_bytes() == before
    assert [path.name for path in archive.parent.glob("*.partial")] == []
