"""Numbers for stars and exposures that other programs call by whatever they like."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from ztf_in2p3.directions import unit_vectors
from ztf_in2p3.tables.files import NULL_TEXTS

NONE, DAMAGED = -1, -2
"""Values in the place of a number: no identifier; or a floating-point number, which cannot hold a long one."""
_EXACT = 2**53
"""Whole numbers beyond this are rounded by floating-point numbers."""
_LARGEST = 2**63 - 1
_WHOLE = re.compile(r"[+-]?(?:0|[1-9]\d*)")
_HEXADECIMAL = re.compile(r"0[xX][0-9a-fA-F]+")
_FLOATING = re.compile(r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?")

Name = int | str


class Numbering:
    """Whole numbers from 0 for identifiers: themselves if all are such numbers, else counted in their own order.

    All parts of a table are shown to `see` before the first is numbered, so that one star has one number in all files
    and whatever the order of the rows.
    """

    def __init__(self) -> None:
        self._names: set[Name] = set()
        self._plain_names: list[NDArray] = []
        self._numbers: dict[Name, int] | None = None
        self.plain = True
        """The identifiers are their own numbers."""

    def see(self, column: pa.ChunkedArray) -> None:
        """Take note of the identifiers of a part of the table."""
        if self.plain and _is_plain(column):
            if pa.types.is_integer(column.type):
                self._unplain_later(column)
            return
        values, _ = _distinct(column)
        names = [name for name in map(_name, values) if not isinstance(name, float) and name is not None]
        self.plain &= all(isinstance(name, int) and 0 <= name <= _LARGEST for name in names)
        self._names.update(names)

    def _unplain_later(self, column: pa.ChunkedArray) -> None:
        """Should another part not be plain, these are needed; cheap while they are arrays."""
        self._plain_names.append(np.unique(column.drop_null().to_numpy().astype(np.int64)))
        if len(self._plain_names) > 64:
            self._plain_names = [np.unique(np.concatenate(self._plain_names))]

    def number(self, column: pa.ChunkedArray) -> NDArray[np.int64]:
        """Number of each row; `NONE` or `DAMAGED` where there is none."""
        if self.plain and _is_plain(column) and pa.types.is_integer(column.type):
            return np.asarray(column.fill_null(NONE).combine_chunks().to_numpy(zero_copy_only=False), np.int64)
        values, at = _distinct(column)
        known = self.numbers
        coded = [_code(_name(value), self.plain, known) for value in values]
        return np.append(np.array(coded, np.int64), NONE)[at]

    @property
    def numbers(self) -> dict[Name, int]:
        """Number of each identifier; empty if they are numbers themselves."""
        if self._numbers is None:
            plain = (part.tolist() for part in self._plain_names)
            names = set[Name]() if self.plain else self._names.union(*plain)
            ordered = sorted(names, key=lambda name: (isinstance(name, str), name))
            self._numbers = {name: number for number, name in enumerate(ordered)}
        return self._numbers


class PlaceNumbering:
    """Numbers for stars that are told by their place alone: places that a chain of near ones joins are one star.

    Parameters
    ----------
    match_arcsec
        Distance up to which two places are near.
    """

    def __init__(self, match_arcsec: float) -> None:
        self.match_arcsec = match_arcsec
        self._cells: NDArray[np.int64] = np.zeros((0, 3), np.int64)
        self._star: NDArray[np.int64] | None = None

    def see(self, ra: NDArray, dec: NDArray) -> None:
        """Take note of the places of a part of the table; degrees.  `ra`, `dec`: (row,)."""
        self._cells = np.unique(np.concatenate([self._cells, self._cell(ra, dec)]), axis=0)

    def number(self, ra: NDArray, dec: NDArray) -> NDArray[np.int64]:
        """Star of each row, counted from the south; `NONE` where the place is unknown.  All (row,), degrees."""
        if self._star is None:
            tree = KDTree(self._cells.astype(float) * self._size)
            pairs = tree.query_pairs(2 * np.sin(np.deg2rad(self.match_arcsec / 3600) / 2), output_type="ndarray")
            n = len(self._cells)
            graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
            component = connected_components(graph, directed=False)[1] if n else np.zeros(0, int)
            first = np.unique(component, return_index=True)[1]
            order = np.lexsort(self._cells[first].T)
            rank = np.empty(len(order), np.int64)
            rank[order] = np.arange(len(order))
            self._star = rank[component]
        known = np.isfinite(ra) & np.isfinite(dec)
        number = np.full(len(ra), NONE, np.int64)
        keys = {tuple(cell): star for cell, star in zip(self._cells.tolist(), self._star.tolist(), strict=True)}
        cells, at = np.unique(self._cell(ra, dec), axis=0, return_inverse=True)
        stars = np.array([keys[tuple(cell)] for cell in cells.tolist()], np.int64)
        number[known] = stars[at.ravel()] if len(stars) else np.zeros(0, np.int64)
        return number

    @property
    def _size(self) -> float:
        """Edge of a cell in which all places count as the same: a tenth of the distance."""
        return float(np.deg2rad(self.match_arcsec / 3600) / 10)

    def _cell(self, ra: NDArray, dec: NDArray) -> NDArray[np.int64]:
        known = np.isfinite(ra) & np.isfinite(dec)
        return np.rint(unit_vectors(ra[known], dec[known]) / self._size).astype(np.int64)


def _is_plain(column: pa.ChunkedArray) -> bool:
    """Whether a look at type and smallest value is enough."""
    kind = column.type
    if pa.types.is_null(kind) or len(column) == column.null_count:
        return True
    if not pa.types.is_integer(kind):
        return False
    values = column.drop_null().to_numpy()
    return int(values.min()) >= 0 and int(values.max()) <= _LARGEST


def _distinct(column: pa.ChunkedArray) -> tuple[list[object], NDArray[np.int64]]:
    """The values that occur, and which of them each row has; a null is behind the last."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    coded = column.combine_chunks().dictionary_encode()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.chunk(0) if coded.num_chunks else pa.array([], column.type).dictionary_encode()
    values = coded.dictionary.to_pylist()
    return values, np.asarray(coded.indices.fill_null(len(values)).to_numpy(zero_copy_only=False), np.int64)


def _name(value: object) -> Name | float | None:
    """An identifier as a whole number or a text; None if it says nothing, a float if it cannot be trusted."""
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        if np.isnan(value):
            return None
        return int(value) if value.is_integer() and abs(value) <= _EXACT else value
    text = (value.decode("utf8", "replace") if isinstance(value, bytes) else str(value)).strip()
    if text in NULL_TEXTS:
        return None
    if _WHOLE.fullmatch(text):
        return int(text)
    if _HEXADECIMAL.fullmatch(text):
        return int(text, 16)
    if _FLOATING.fullmatch(text) and not text.lstrip("+-").isdigit():
        return _name(float(text))
    return text


def _code(name: Name | float | None, plain: bool, numbers: dict[Name, int]) -> int:
    if name is None:
        return NONE
    if isinstance(name, float):
        return DAMAGED
    return int(name) if plain else numbers[name]


def names_table(columns: Sequence[tuple[str, Numbering]]) -> pa.Table:
    """What the table called the stars and exposures that were numbered: column, number, name."""
    rows = [
        {"column": column, "number": number, "name": str(name)}
        for column, numbering in columns
        for name, number in numbering.numbers.items()
    ]
    schema = pa.schema([("column", pa.string()), ("number", pa.int64()), ("name", pa.string())])
    return pa.Table.from_pylist(rows, schema=schema)
