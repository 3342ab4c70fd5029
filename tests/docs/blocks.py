"""The fenced code blocks of the documentation, and which of them the tests run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUN = ("bash", "console", "sh", "shell", "python")
SHOWN = ("json", "text", "toml", "yaml", "java", "javascript", "go")  # programs: see test_clients
_FENCE = re.compile(r"^```(\S*)\n(.*?)^```\n(?:<!-- not run: (.+?) -->)?", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block. `why_not` is the reason why tests do not run it; empty if they do."""

    page: str
    line: int
    language: str
    text: str
    why_not: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """All pages of the documentation, README.md first."""
    root_pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
    return root_pages + sorted((ROOT / "docs").rglob("*.md"))


def blocks() -> list[Block]:
    """All fenced blocks of all pages, in the order of the pages."""
    return [block for page in pages() for block in _blocks_of(page)]


def _blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page=str(page.relative_to(ROOT)),
            line=text.count("\n", 0, match.start()) + 1,
            language=match[1],
            text=match[2],
            why_not=match[3] or "",
        )
        for match in _FENCE.finditer(text)
    ]
