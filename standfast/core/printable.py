"""Makes text from topics and files safe to print on a terminal.

An escape sequence in a product's title or a drill's name could otherwise clear the screen, colour the following text,
write to the clipboard or reverse the order of letters.
"""

from __future__ import annotations

import re
from typing import Final

_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_PICTURES: Final = 0x2400  # Unicode's Control Pictures for U+0000 to U+001F: one cell wide, as rich counts
# DEL and the C1 controls (CSI is one), line and paragraph separators, bidirectional marks and overrides, lone
# surrogates, the byte order mark.
_OTHERS = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f]")
_LAYOUT = re.compile("[\t\n]")


def printable(text: str) -> str:
    """The text with a visible sign in place of each control character; line breaks and tabs stay."""
    return _OTHERS.sub(_REPLACEMENT, _CONTROLS.sub(_picture, text))


def one_line(text: str) -> str:
    """The same, with line breaks and tabs replaced too, so that the text cannot imitate a line of our output."""
    return printable(_LAYOUT.sub(_picture, text))


def escaped_json(text: str) -> str:
    """JSON with the same characters written as escapes, as JSON allows."""
    return _OTHERS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _picture(match: re.Match[str]) -> str:
    return chr(_PICTURES + ord(match[0]))
