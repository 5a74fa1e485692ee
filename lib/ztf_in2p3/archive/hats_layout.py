"""Places of the files of a HATS catalogue.

Caplar et al. 2025, "Using LSDB to enable large-scale catalog distribution, cross-matching, and analytics": a catalogue
is ``hats.properties`` (``key=value``), ``partition_info.csv`` (order and pixel, nested scheme, of each partition) and
``dataset/Norder=k/Dir=d/Npix=n.parquet`` with d = n // 10000 * 10000, or a folder ``Npix=n/`` of files.  A collection
is a folder of catalogues whose ``collection.properties`` names the main one.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from urllib.parse import urljoin

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ztf_in2p3.archive.errors import AccessDenied, NotInArchive
from ztf_in2p3.archive.storage import FolderStorage, Storage
from ztf_in2p3.errors import BadData

PARTITIONS = "partition_info.csv"
COLLECTION = "collection.properties"
_PROPERTIES = ("hats.properties", "properties")
"""Today's name, and that of older catalogues."""
MAIN_TABLE = "hats_primary_table_url"
FINEST_ORDER = 29
STARS = {"object", "source"}
"""Kinds of HATS tables that hold stars; margins, indices and associations do not."""
SINGLE_TABLES = (".parquet", ".pq", ".fits", ".fit", ".fits.gz", ".csv", ".csv.gz", ".ecsv", ".vot", ".xml", ".votable")

_PARTITION = re.compile(r"Norder=(\d+)/Dir=\d+/Npix=(\d+)(?=[./])")

Pixels = dict[int, NDArray[np.int64]]
"""Pixels of the partitions, sorted, by order."""


def partition_path(order: int, pixel: int, suffix: str = ".parquet") -> str:
    """Path of a partition's file, or of its folder with another suffix, within the catalogue."""
    return f"dataset/Norder={order}/Dir={pixel // 10000 * 10000}/Npix={pixel}{suffix}"


def read_properties(text: str) -> dict[str, str]:
    """Lines ``key=value``; blank ones and those that begin with # are comments."""
    pairs = (line.partition("=") for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    return {key.strip(): value.strip() for key, equals, value in pairs if equals}


def main_table(storage: Storage, location: str) -> str | None:
    """Address of the main catalogue of a collection; None where there is no collection.

    Raises
    ------
    BadData
        The collection does not name it.
    """
    try:
        properties = read_properties(_text(storage, COLLECTION))
    except (NotInArchive, AccessDenied):
        return None
    name = properties.get(MAIN_TABLE)
    if not name:
        raise BadData(
            f"{storage.address(COLLECTION)}: no {MAIN_TABLE} in it, it has {', '.join(properties) or 'nothing'}; "
            "give the address of the catalogue itself, the folder with partition_info.csv"
        )
    if location.startswith(("http://", "https://")):
        return urljoin(f"{location.rstrip('/')}/", name)
    remote = location.startswith("s3://")
    if "://" in name or (name.startswith("/") and not remote):
        return name
    return f"{location.rstrip('/')}/{name.strip('/')}"


def table_properties(storage: Storage) -> dict[str, str]:
    """Properties of a catalogue; none where it has no such file.

    Raises
    ------
    BadData
        They say that the table holds something else than stars.
    """
    for name in _PROPERTIES:
        try:
            properties = read_properties(_text(storage, name))
        except (NotInArchive, AccessDenied):
            continue
        kind = properties.get("dataproduct_type", "object")
        if kind not in STARS:
            raise BadData(f"{storage.address(name)}: a table of kind {kind}, expected object; give the main catalogue")
        return properties
    return {}


def partitions(storage: Storage) -> Pixels:
    """Pixels of all partitions: as listed, else as the metadata of all files say, else as the files are named.

    Raises
    ------
    NotInArchive, AccessDenied
        There is no list, and no file of a partition.
    BadData
        The list makes no sense.
    """
    try:
        return _listed(_text(storage, PARTITIONS), storage.address(PARTITIONS))
    except (NotInArchive, AccessDenied) as error:
        unlisted = error
    names = files_in_metadata(storage) or storage.names("dataset")
    pixels = {(int(name[1]), int(name[2])) for name in map(_PARTITION.search, names) if name}
    if not pixels:
        raise unlisted
    return _by_order(pixels)


def files_in_metadata(storage: Storage) -> list[str]:
    """Names of the files, below ``dataset``, that ``dataset/_metadata`` describes; none where there is no such file."""
    try:
        with storage.open("dataset/_metadata") as stream:
            metadata = pq.read_metadata(stream)
    except (NotInArchive, AccessDenied):
        return []
    except (pa.ArrowInvalid, pa.ArrowException):  # no list is worse than a damaged one: the files' names say the same
        return []
    groups = (metadata.row_group(group) for group in range(metadata.num_row_groups))
    return sorted({group.column(0).file_path for group in groups if group.num_columns})


def partition_files(storage: Storage, order: int, pixel: int) -> list[str]:
    """Paths of the files of a partition that is a folder, in a fixed order."""
    folder = partition_path(order, pixel, "")
    names = [name for name in storage.names(folder) if name.endswith(".parquet") and name[0] not in "._"]
    if not names:
        prefix = folder.removeprefix("dataset/")
        known = (name for name in files_in_metadata(storage) if name.startswith(f"{prefix}/"))
        names = [name.removeprefix(f"{prefix}/") for name in known]
    if not names:
        file = storage.address(partition_path(order, pixel))
        raise NotInArchive(f"{file} is not there, nor a folder Npix={pixel} of such files; copy the partition again")
    return [f"{folder}/{name}" for name in names]


def nothing_at(storage: Storage, location: str, reason: BadData) -> BadData:
    """What to say where neither a catalogue nor a collection was found."""
    looked_for = (
        f"{location.rstrip('/') or location}: neither {PARTITIONS} nor {COLLECTION} can be read there, expected a "
        "HATS catalogue"
    )
    is_file = isinstance(storage, FolderStorage) and storage.root.is_file()
    if is_file or location.lower().rstrip("/").endswith(SINGLE_TABLES):
        return _single_table(location)
    if isinstance(reason, AccessDenied):
        return AccessDenied(f"{looked_for}: {reason}")
    if isinstance(reason, NotInArchive):
        tables = [name for name in _top_names(storage) if name.lower().endswith(SINGLE_TABLES)][:1]
        todo = f"ztf reference import {location.rstrip('/')}/{tables[0] if tables else 'TABLE'} FOLDER"
        return NotInArchive(
            f"{looked_for}; correct the address, or lay a table of stars out as a catalogue with `{todo}` ({reason})"
        )
    return BadData(f"{looked_for}: {reason}")


def _single_table(location: str) -> BadData:
    return BadData(
        f"{location} is a single table, expected a HATS catalogue (a folder with {PARTITIONS}); lay it out as one with "
        f"`ztf reference import {location} FOLDER` and give FOLDER as the reference"
    )


def _top_names(storage: Storage) -> list[str]:
    if not isinstance(storage, FolderStorage) or not storage.root.is_dir():
        return []
    return sorted(path.name for path in storage.root.iterdir())


def _text(storage: Storage, path: str) -> str:
    content = storage.read(path)
    if content.lstrip()[:1] == b"<":
        raise BadData(f"{storage.address(path)}: a page of text came in its place; check the address")
    return content.decode("utf-8-sig", "replace")


def _listed(text: str, address: str) -> Pixels:
    rows = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    missing = {"Norder", "Npix"} - set(rows.fieldnames or ())
    if missing:
        raise BadData(f"{address}: no column {', '.join(sorted(missing))}; it has {', '.join(rows.fieldnames or ())}")
    pixels: set[tuple[int, int]] = set()
    try:
        for row in rows:
            order, pixel = int(row["Norder"]), int(row["Npix"])
            if not (0 <= order <= FINEST_ORDER and 0 <= pixel < 12 * 4**order):
                raise ValueError(f"no pixel {pixel} of order {order} exists")
            pixels.add((order, pixel))
    except (ValueError, TypeError, csv.Error) as error:
        raise BadData(f"{address}, line {rows.line_num}: {error}; expected whole numbers Norder and Npix") from error
    if not pixels:
        raise BadData(f"{address} lists no partition; is this a whole copy of the catalogue?")
    return _by_order(pixels)


def _by_order(partitions: Iterable[tuple[int, int]]) -> Pixels:
    by_order: dict[int, list[int]] = {}
    for order, pixel in sorted(partitions):
        by_order.setdefault(order, []).append(pixel)
    return {order: np.array(pixels, dtype=np.int64) for order, pixels in by_order.items()}
