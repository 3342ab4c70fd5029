"""Catalogues generated for the benchmark: as many titles as asked, all distinct, and vectors like an encoder's."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the name every torch reader knows

from bench.growth.large_catalogue import more_titles, more_vectors
from models.data.shop import load_catalogue


def test_titles_begin_with_the_shops_own_and_go_on_in_its_words() -> None:
    titles = load_catalogue().titles
    made = more_titles(titles, 5000)
    assert len(set(made)) == len(made) == 5000
    assert made == more_titles(titles, 5000)
    assert set(made) >= set(titles)
    assert {word for title in made for word in title.split()} <= {word for title in titles for word in title.split()}
    assert more_titles(titles, 100) == titles[:100]


def test_vectors_begin_with_the_encoded_ones_and_have_unit_length() -> None:
    encoded = F.normalize(torch.randn(50, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    made = more_vectors(encoded, 120)
    assert torch.equal(made[:50], encoded)
    assert torch.allclose(made.norm(dim=1), torch.ones(120))
    assert torch.equal(more_vectors(encoded, 20), encoded[:20])
