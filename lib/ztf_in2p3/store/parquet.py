"""Parquet files whose bytes depend on nothing but the table in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ztf_in2p3.errors import BadData
from ztf_in2p3.store.table_metadata import described, described_schema, without_description

ROWS_OF_A_GROUP = 1 << 17
"""A reader of a few stars decodes at most so many."""


_HOW: dict[str, Any] = {
    "version": "2.6",
    "compression": "zstd",
    "compression_level": 3,
    "write_statistics": True,
    "store_schema": True,
}


def write_table(path: Path, table: pa.Table, metadata: Mapping[str, str] | None = None) -> None:
    """Write a table; equal tables give equal bytes, however they were put together in memory.

    Parameters
    ----------
    table
        Metadata of its fields (unit, description) and of its schema are kept.
    metadata
        Added to the schema's; units and meanings are, in the forms that others read.
    """
    merged = {**(table.schema.metadata or {}), **{k.encode(): v.encode() for k, v in (metadata or {}).items()}}
    of_arrow, of_footer = described(table)
    merged |= of_arrow
    table = pa.table(
        [_one_chunk(column) for column in table.columns],
        schema=table.schema.with_metadata({key: merged[key] for key in sorted(merged)}),
    )
    with pq.ParquetWriter(path, table.schema, **_HOW) as file:
        file.write_table(table, row_group_size=ROWS_OF_A_GROUP)
        file.add_key_value_metadata(of_footer)


def write_parts(path: Path, parts: Iterable[pa.Table], schema: pa.Schema) -> None:
    """Write a table that is longer than memory: tables of one schema, each a group of rows."""
    of_arrow, of_footer = described_schema(schema)
    schema = schema.with_metadata({**(schema.metadata or {}), **of_arrow})
    with pq.ParquetWriter(path, schema, **_HOW) as file:
        for part in parts:
            file.write_table(part.cast(schema), row_group_size=ROWS_OF_A_GROUP)
        file.add_key_value_metadata(of_footer)


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a table, or some of its columns in the order asked for.

    Raises
    ------
    BadData
        The file is no Parquet file, or lacks a column.
    """
    try:
        with pq.ParquetFile(path) as file:
            missing = sorted(set(columns or ()) - set(file.schema_arrow.names))
            if missing:
                raise BadData(f"{path}: no column {', '.join(missing)}; it has {', '.join(file.schema_arrow.names)}")
            table = file.read() if columns is None else file.read(list(columns)).select(list(columns))
    except (pa.ArrowInvalid, pa.ArrowException, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise BadData(f"{path} cannot be read as Parquet ({error}); make or fetch it again") from error
    return table.replace_schema_metadata(without_description(table.schema.metadata))


def read_parts(path: Path) -> Iterator[pa.Table]:
    """The groups of rows of a table, one after the other."""
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            yield table.replace_schema_metadata(without_description(table.schema.metadata))


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    """The table without the traces of its history: chunks, and the order of entries in a dictionary."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return column.cast(kind.value_type).combine_chunks().dictionary_encode().cast(kind)
    return column.combine_chunks()
