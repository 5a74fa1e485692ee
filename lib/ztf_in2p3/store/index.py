"""Manifests of a night in one file, so that looking a night up is not one request a product.

A row is believed only if the manifest in the store still has the stamp it had when it was
copied here, and if the copy fits its own seal.  An index may therefore be lost, cut, altered
or overwritten by another process: it is then slower to use, and never wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from ztf_in2p3.store.backends import Files, Stat

FOLDER = ".index"
_SCHEMA = pa.schema([("path", pa.string()), ("size", pa.int64()), ("stamp", pa.string()), ("manifest", pa.string())])


@dataclass(frozen=True, slots=True)
class Row:
    """Manifest of one product, as the index has it."""

    stat: Stat
    """Size and stamp of the manifest's file."""
    text: str
    """Text of the manifest."""


def group(data_id: str) -> str:
    """What shares an index: a night, or the periods that start in it; all else together."""
    night = re.match(r"\d{8}", data_id)
    return night[0] if night else "other"


def index_path(folder: str, group: str) -> str:
    """Path of the index of a group of manifests."""
    return f"{FOLDER}/{folder}/{group}.parquet"


def read_index(files: Files, path: str) -> dict[str, Row]:
    """Rows by path of the manifest; none if there is no index, or none that can be read."""
    content = files.read(path)
    if content is None:
        return {}
    try:
        columns = pq.read_table(pa.BufferReader(content), schema=_SCHEMA).to_pydict()
    except (pa.ArrowException, OSError, ValueError):
        return {}
    return {
        path: Row(Stat(size, stamp), text)
        for path, size, stamp, text in zip(*(columns[name] for name in _SCHEMA.names), strict=True)
        if path and text
    }


def write_index(files: Files, path: str, rows: Mapping[str, Row]) -> None:
    """Write an index of manifests, by their paths."""
    ordered = sorted(rows.items())
    table = pa.table(
        {
            "path": [path for path, _ in ordered],
            "size": [row.stat.size for _, row in ordered],
            "stamp": [row.stat.stamp for _, row in ordered],
            "manifest": [row.text for _, row in ordered],
        },
        schema=_SCHEMA,
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    files.write(path, sink.getvalue().to_pybytes())
