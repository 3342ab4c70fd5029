"""The attributes of a version's products as arrays, which forked workers share.

A number takes 8 bytes a product. Of a text, each value has the list of its products (4 bytes each): a filter reads the
lists of its values only, and a product may have several values.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from models.attributes.reading import Attributes, Value, digest_of, number_of, texts_of
from models.base import Filter

_CONFIG, _ARRAYS = "attributes.json", "attributes.safetensors"
_MOST_COLUMNS = 100
_MOST_VALUES = 100_000  # texts of one attribute: 10 MB in memory
Mask: TypeAlias = NDArray[np.bool_]


class ColumnConfig(msgspec.Struct, frozen=True):
    """One attribute of a version's `attributes.json`. `values` None: it is a number.

    `note`: why it is text though most of its values are numbers.
    """

    name: str
    values: list[str] | None = None
    note: str = ""


class AttributesConfig(msgspec.Struct, frozen=True):
    """A version's `attributes.json`; `left_out` has the attributes that cannot be filtered by, and why."""

    columns: list[ColumnConfig]
    left_out: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Numbers:
    """A number of each product; NaN where it has none."""

    numbers: NDArray[np.float64]

    def mask(self, wanted: Filter) -> Mask:
        """Which products are as the filter wants them."""
        return within(self.numbers, wanted)


@dataclass(frozen=True, slots=True)
class Texts:
    """The products of each value: those of `values[code]` are `rows[starts[code] : starts[code + 1]]`."""

    values: list[str]
    rows: NDArray[np.int32]
    starts: NDArray[np.int64]
    products: int
    note: str = ""
    codes: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "codes", {value: code for code, value in enumerate(self.values)})

    def mask(self, wanted: Filter) -> Mask:
        """Which products are as the filter wants them."""
        mask = np.zeros(self.products, bool)
        for code in {self.codes[value] for value in wanted.values if value in self.codes}:
            mask[self.rows[self.starts[code] : self.starts[code + 1]]] = True
        return mask

    def counts(self, marked: Mask) -> NDArray[np.int64]:
        """How many of the marked products have each value."""
        hits = np.concatenate([[0], np.cumsum(marked[self.rows], dtype=np.int64)])
        counts: NDArray[np.int64] = hits[self.starts[1:]] - hits[self.starts[:-1]]
        return counts


@dataclass(frozen=True, slots=True)
class Columns:
    """All attributes of a version's products by name; `digests` tells whether those of one product are still these."""

    products: int
    by_name: dict[str, Numbers | Texts]
    left_out: dict[str, str]
    digests: NDArray[np.int64]

    def as_trained(self, index: int, attributes: Attributes) -> bool:
        """Whether a product had these attributes at training."""
        return int(self.digests[index]) == digest_of(attributes)


def within(numbers: NDArray[np.float64], wanted: Filter) -> Mask:
    """Which numbers are as the filter wants them; NaN never is."""
    if wanted.values:
        return np.isin(numbers, [number for value in wanted.values if (number := number_of(value)) is not None])
    mask: Mask = (numbers >= wanted.least) & (numbers <= wanted.most)
    return mask


def build_attributes(products: Sequence[Attributes], folder: Path) -> None:
    """Writes the files that `load_attributes` reads. An attribute of which all values are numbers is one.

    Left out are attributes of more than 100,000 different texts, and those behind the 100 that most products have.
    """
    found: dict[str, _Found] = {}
    for row, attributes in enumerate(products):
        for name, value in attributes:
            found.setdefault(name, _Found()).add(row, value)
    names = sorted(found, key=lambda name: (-len(found[name].rows), name))
    left_out = dict.fromkeys(names[_MOST_COLUMNS:], f"{_MOST_COLUMNS} others are in more products")
    columns: list[ColumnConfig] = []
    arrays: dict[str, NDArray[Any]] = {"digests": np.fromiter(map(digest_of, products), np.int64, len(products))}
    for name in sorted(names[:_MOST_COLUMNS]):
        column, of_column = found[name].column(name, len(products))
        if column.values is not None and len(column.values) > _MOST_VALUES:
            left_out[name] = f"it has {len(column.values):,} different values, and {_MOST_VALUES:,} are the most"
            continue
        arrays |= {f"{len(columns)}.{key}": array for key, array in of_column.items()}
        columns.append(column)
    save_file(arrays, folder / _ARRAYS)
    (folder / _CONFIG).write_bytes(msgspec.json.encode(AttributesConfig(columns, left_out)))


def load_attributes(folder: Path) -> Columns | None:
    """The attributes that `build_attributes` wrote; None for a version of a release without them."""
    if not (folder / _CONFIG).is_file():
        return None
    config = msgspec.json.decode((folder / _CONFIG).read_bytes(), type=AttributesConfig)
    stored = {name: array.copy() for name, array in load_file(folder / _ARRAYS).items()}
    products = len(stored["digests"])
    return Columns(products, dict(_loaded(config, stored, products)), config.left_out, stored["digests"])


def _loaded(
    config: AttributesConfig, stored: dict[str, NDArray[Any]], products: int
) -> Iterator[tuple[str, Numbers | Texts]]:
    for number, column in enumerate(config.columns):
        if column.values is None:
            yield column.name, Numbers(stored[f"{number}.numbers"])
        else:
            rows, starts = stored[f"{number}.rows"], stored[f"{number}.starts"]
            yield column.name, Texts(column.values, rows, starts, products, column.note)


class _Found:
    """The values of one attribute, and the product of each."""

    def __init__(self) -> None:
        self.rows = array("i")
        self._values: list[Value] = []

    def add(self, row: int, value: Value) -> None:
        """The value of a further product."""
        self.rows.append(row)
        self._values.append(value)

    def column(self, name: str, products: int) -> tuple[ColumnConfig, dict[str, NDArray[Any]]]:
        """The attribute's line in the config, and its arrays by name."""
        numbers = [number_of(value) for value in self._values]
        other = [value for value, number in zip(self._values, numbers, strict=True) if number is None]
        if other:
            note = ""
            if 2 * len(other) < len(numbers):
                note = f"{len(other):,} of its {len(numbers):,} values are no numbers (one is {str(other[0])[:40]!r})"
            return self._texts(name, note)
        stored = np.full(products, np.nan)
        stored[np.frombuffer(self.rows, np.int32)] = numbers
        return ColumnConfig(name), {"numbers": stored}

    def _texts(self, name: str, note: str) -> tuple[ColumnConfig, dict[str, NDArray[Any]]]:
        ids: dict[str, int] = {}
        codes, rows = array("i"), array("i")
        for row, value in zip(self.rows, self._values, strict=True):
            for text in texts_of(value):
                codes.append(ids.setdefault(text, len(ids)))
                rows.append(row)
        by_code = np.argsort(np.frombuffer(codes, np.int32), kind="stable")
        sizes = np.bincount(np.frombuffer(codes, np.int32), minlength=len(ids))
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        return ColumnConfig(name, list(ids), note), {"rows": np.frombuffer(rows, np.int32)[by_code], "starts": starts}
