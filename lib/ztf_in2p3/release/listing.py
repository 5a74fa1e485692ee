"""Raw files that a release may be made of, and its products that are there: in columns, whatever their number."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ztf_in2p3 import recipes
from ztf_in2p3.errors import BadData
from ztf_in2p3.identifiers import Filter
from ztf_in2p3.periods import Period
from ztf_in2p3.products import NO_RECIPE, Kind
from ztf_in2p3.release.definition import Release
from ztf_in2p3.store import Store
from ztf_in2p3.store.backends import Files
from ztf_in2p3.store.parquet import read_table
from ztf_in2p3.store.records import MANIFEST

RAW_FILES = pa.schema(
    [
        pa.field("filefracday", pa.int64(), metadata={"description": "UT date and fraction of the day, 14 digits"}),
        pa.field("field", pa.int32(), metadata={"description": "field of the survey"}),
        pa.field("filtercode", pa.string(), metadata={"description": "bi, zg, zr or zi"}),
        pa.field("imgtypecode", pa.string(), metadata={"description": "o of the sky, b bias, f flat"}),
        pa.field("ccdid", pa.int8(), metadata={"description": "CCD, 1 to 16"}),
    ]
)
"""Columns of a listing of raw CCD files, as the archive's metadata call them."""


@dataclass(frozen=True, slots=True)
class Present:
    """Products of a release that are in a store."""

    catalogues: NDArray[np.int64]
    """(product,) keys of the CCD exposures, see `keys_of`; sorted."""
    masters: Mapping[tuple[Kind, str, int], tuple[Period, ...]]
    """Periods of the masters by kind, filter (empty for a bias) and CCD."""
    tables: frozenset[tuple[Kind, str]]
    """Kind and filter of star indices and surveys of the release's whole period."""


def keys_of(filefracday: NDArray[np.int64], ccdid: NDArray[np.int8]) -> NDArray[np.int64]:
    """Number (file,) of each CCD exposure from its date (file,) and CCD (file,): the 14 digits, then two of the CCD."""
    return filefracday * 100 + ccdid


def read_listing(path: Path) -> pa.Table:
    """Listing of raw files, from Parquet.

    Raises
    ------
    BadData
        It lacks a column, or has one of another type.
    """
    table = read_table(path, RAW_FILES.names)
    try:
        return table.cast(RAW_FILES)
    except pa.ArrowInvalid as error:
        raise BadData(f"{path} is no listing of raw files: {error}; expected {', '.join(RAW_FILES.names)}") from error


def listing_of(store: Store, nights: Period) -> pa.Table:
    """Listing of the raw files that are in a store."""
    rows: list[tuple[int, int, str, str, int]] = []
    for month in months_of(nights):
        for data_id in sorted(data_ids(store.files, f"{Kind.RAW}/{NO_RECIPE}", month)):
            exposure, _, ccd = data_id.partition("/")
            filefracday, field, filtercode, imgtypecode = exposure.split("_")
            rows.append((int(filefracday), int(field), filtercode, imgtypecode, int(ccd[1:3])))
    return pa.table([list(column) for column in zip(*rows, strict=True)] or [[]] * len(RAW_FILES), schema=RAW_FILES)


def present_in(store: Store, release: Release) -> Present:
    """Products of a release that a store has, from its listings: a file and its manifest; nothing is opened."""
    quadrant = release.catalogue.quadrant
    flat, bias = quadrant.focal_plane.flat, quadrant.focal_plane.flat.led.bias
    masters: dict[tuple[Kind, str, int], list[Period]] = defaultdict(list)
    for kind, recipe in ((Kind.BIAS, bias), (Kind.FLAT, flat)):
        for data_id in data_ids(store.files, f"{kind}/{recipes.digest(recipe)}"):
            period, *part = data_id.split("/")
            masters[kind, part[0] if len(part) > 1 else "", int(part[-1][1:])].append(Period.parse(period))
    tables = set()
    for kind, table in ((Kind.STAR_INDEX, release.stars), (Kind.ZERO_POINTS, release.ubercal)):
        for data_id in data_ids(store.files, f"{kind}/{recipes.digest(table)}", str(release.nights)):
            tables.add((kind, data_id.split("/")[1]))
    folder = f"{Kind.CATALOGUE}/{recipes.digest(release.catalogue)}"
    parts = [_keys(data_ids(store.files, folder, month)) for month in months_of(release.nights)]
    catalogues = np.sort(np.concatenate([np.empty(0, np.int64), *parts]))
    return Present(catalogues, {part: tuple(sorted(periods)) for part, periods in masters.items()}, frozenset(tables))


def data_ids(files: Files, folder: str, prefix: str = "") -> set[str]:
    """Data ids below a kind and recipe that have both a manifest and another file."""
    vouched: set[str] = set()
    held: set[str] = set()
    for path in files.list(folder, prefix):
        data_id, _, name = path.rpartition("/")
        (vouched if name == MANIFEST else held).add(data_id)
    return {data_id.removeprefix(f"{folder}/") for data_id in vouched & held}


def months_of(nights: Period) -> list[str]:
    """Months that a period touches, as 201904."""
    first = np.datetime64(nights.first, "M")
    return [str(month).replace("-", "") for month in np.arange(first, np.datetime64(nights.last, "M") + 1)]


def _keys(of_ccds: Iterable[str]) -> NDArray[np.int64]:
    """Keys (product,) of data ids such as 20190405123456_000655_zr_o/c03."""
    return np.array([int(data_id[:14]) * 100 + int(data_id[-2:]) for data_id in of_ccds], np.int64)


def filter_numbers(codes: pa.ChunkedArray, filters: Iterable[Filter]) -> NDArray[np.int8]:
    """Place (file,) of each code among the filters; -1 if it is none of them."""
    numbers = np.full(len(codes), -1, np.int8)
    words = np.asarray(codes.to_numpy(), dtype="U2")
    for number, code in enumerate(filters):
        numbers[words == code] = number
    return numbers
