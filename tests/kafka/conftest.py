"""For modules that talk to a toy system of their own, which they name `toys`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.desk import Desk, Reader
from tests.support.toys.toys import Toys


@pytest.fixture(scope="module")
def desk(toys: Toys) -> Desk:
    """Sends to the system, and reads from it."""
    return Desk(toys.settings)


@pytest.fixture
def results(desk: Desk) -> Iterator[Reader]:
    """Reads the answers to searches."""
    with desk.reader("search.results") as reader:
        yield reader
