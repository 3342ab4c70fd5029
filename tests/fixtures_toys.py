"""Fixtures for modules with a toy system of their own, in a fixture named `toys`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.desk import Desk, TopicReader
from tests.support.toys.toys import Toys


@pytest.fixture(scope="module")
def desk(toys: Toys) -> Desk:
    """A client of the system."""
    return Desk(toys.settings)


@pytest.fixture
def results(desk: Desk) -> Iterator[TopicReader]:
    """A reader of `search.results`, from the start of the test on."""
    with desk.reader("search.results") as reader:
        yield reader
