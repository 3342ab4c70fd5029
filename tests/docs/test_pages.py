"""Links have a target, and the reference pages agree with the code."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from schemas.topics import BY_NAME
from standfast.core.settings import DrillSettings, Settings
from tests.docs.blocks import ROOT, pages

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = ("models", "schemas", "consumers", "streams", "drills", "standfast", "bench", "tests", "tools")
NAMED = re.compile(rf"`((?:{'|'.join(CODE)})(?:[./][\w-]+)+(?:\.\w+)?/?)`")  # `models/base.py`, `models.base.Model`
NO_CODE = {
    "standfast.toml",
    "drills/intents",  # a folder of the state folder
    *BY_NAME,
    *(f"{topic}.dlq" for topic in BY_NAME),
    *(f"drills.{key}" for key in DrillSettings.model_fields),
}


def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("standfast_reference", ROOT / "tools" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["settings.md", "metrics.md", "topics.md", "cli.md"])
def test_the_reference_is_up_to_date(name: str) -> None:
    written = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert written == reference().PAGES[name](), f"docs/{name} is out of date: run `make reference`"


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in anchors(target), f"{link}: no such heading"


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_front_page_begins_with_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.index("make demo") < text.index("make test") < text.index("standfast up")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"\bmake ([a-z]+)\b", text)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_every_log_event_in_the_runbook_is_logged_somewhere() -> None:
    table = (ROOT / "docs/sre.md").read_text(encoding="utf-8").partition("## Log events")[2].partition("\n## ")[0]
    events = re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)
    folders = ("standfast", "consumers", "streams", "drills", "models")
    code = "".join(path.read_text(encoding="utf-8") for name in folders for path in (ROOT / name).rglob("*.py"))
    assert events
    assert [event for event in events if f'"{event}"' not in code] == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_setting_named_in_a_page_exists(page: Path) -> None:
    sections = {
        name: field.annotation for name, field in Settings.model_fields.items() if isinstance(field.annotation, type)
    }
    for section, key in re.findall(r"`([a-z]+)\.([a-z_]+)(?: = [^`]+)?`", page.read_text(encoding="utf-8")):
        if section in sections and f"{section}.{key}" not in BY_NAME:
            assert key in sections[section].model_fields, f"{section}.{key} is no setting"


def test_every_file_and_name_of_the_code_that_is_cited_exists() -> None:
    """In pages, comments and docstrings: a docstring cited a module long after it had been moved."""
    sources = [path for folder in CODE for path in (ROOT / folder).rglob("*.py")]
    cited = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in (*sources, *pages())
        for name in NAMED.findall(path.read_text(encoding="utf-8"))
    }
    assert len(cited) > 50
    assert [(where, name) for where, name in sorted(cited) if name not in NO_CODE and not is_there(name)] == []


@pytest.mark.parametrize(
    "name",
    ["models/gone.py", "models/base.pyi", "models.gone", "models.base.Gone", "models.gone.Model", "models/gone/"],
)
def test_what_is_not_there_would_be_noticed(name: str) -> None:
    assert NAMED.fullmatch(f"`{name}`")
    assert not is_there(name)


def is_there(name: str) -> bool:
    """Whether `name` is a file, a folder, a module, or a name in a module."""
    if "/" in name:
        return (ROOT / name).exists()
    whole = ROOT.joinpath(*name.split("."))
    module = whole.parent.with_suffix(".py")
    if whole.is_dir() or whole.with_suffix(".py").is_file():
        return True
    return module.is_file() and re.search(rf"\b{whole.name}\b", module.read_text(encoding="utf-8")) is not None
