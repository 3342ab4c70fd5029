"""Text of strangers made safe to print: one place for every terminal that shows what came from a topic or a file.

An escape sequence in a product's title or a drill's name could otherwise clear the screen, colour what follows, write
into the clipboard, or turn the order of the letters round.
"""

from __future__ import annotations

import re
from typing import Final

_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_PICTURES: Final = 0x2400  # what stands for a control character below a blank: one cell wide, as rich counts it
# Delete and the C1 controls (a CSI is one of them), separators of lines and paragraphs, marks and overrides of
# direction, halves of surrogates.
_OTHERS = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f]")
_LAYOUT = re.compile("[\t\n]")


def printable(text: str) -> str:
    """The text with a visible sign for each character that a terminal would obey; line breaks and tabs stay."""
    return _OTHERS.sub(_REPLACEMENT, _CONTROLS.sub(_picture, text))


def one_line(text: str) -> str:
    """The same on one line: so that no text can look like a line of ours."""
    return printable(_LAYOUT.sub(_picture, text))


def escaped_json(text: str) -> str:
    """JSON with the same characters written as escapes, as JSON allows."""
    return _OTHERS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _picture(found: re.Match[str]) -> str:
    return chr(_PICTURES + ord(found[0]))
