"""The words under which a text is indexed, as `models.search.lexical` puts them together."""

from __future__ import annotations

from models.data.text import folded
from models.search.languages import language
from models.search.words import codes, document_words

_PLURALS = language("")


def words(text: str) -> list[str]:
    """Folded, in the singular, no stop words. `LUNCH BAGS` gives `lunch`, `bag`."""
    return _PLURALS.stem(document_words(text, _PLURALS)) + codes(folded(text), for_index=True)
