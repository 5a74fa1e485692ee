"""Tables open in the programs of others, with units and descriptions where these have them."""

from __future__ import annotations

import warnings

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units
from astropy.table import Table

from docs.generated import COLUMNS
from ztf_in2p3.products import Kind
from ztf_in2p3.store.parquet import read_table, write_parts, write_table
from ztf_in2p3.tables import schema_of

N = 5
FLAT = [kind for kind in COLUMNS if kind is not Kind.STAR_CURVES]
"""Kinds whose columns are numbers, texts and lists; light curves are nested, and lsdb reads them."""


def schema(kind: Kind) -> pa.Schema:
    columns = COLUMNS[kind]
    return columns if isinstance(columns, pa.Schema) else schema_of(columns)


def values(field: pa.Field) -> pa.Array:
    if pa.types.is_string(field.type):
        return pa.array([f"{field.name}{k}" for k in range(N)])
    if pa.types.is_boolean(field.type):
        return pa.array([k % 2 == 0 for k in range(N)])
    if pa.types.is_list(field.type):
        flat = values(pa.field(field.name, field.type.value_type))
        return pa.ListArray.from_arrays(pa.array(range(N + 1), pa.int32()), flat).cast(field.type)
    if pa.types.is_date(field.type):
        return pa.array(range(N), pa.int32()).cast(field.type)
    return pa.array(range(N)).cast(field.type)


WITHOUT_LISTS = [kind for kind in FLAT if not any(pa.types.is_list(field.type) for field in schema(kind))]
"""What astropy's reader of VOParquet knows."""


@pytest.fixture(params=FLAT, ids=str)
def written(request, tmp_path):
    columns = schema(request.param)
    table = pa.table([values(field) for field in columns], schema=columns)
    write_table(tmp_path / "a.parquet", table, {"recipe": "3f2a9c1b0e"})
    return tmp_path / "a.parquet", table


def test_astropy_reads_units_and_descriptions(written):
    path, expected = written
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = Table.read(path)
    assert table.colnames == expected.column_names
    for field in expected.schema:
        column = table[field.name]
        unit = field.metadata[b"unit"].decode()
        assert column.unit == (units.Unit(unit) if unit else None)
        assert column.description == field.metadata[b"description"].decode()
        if not pa.types.is_list(field.type):
            np.testing.assert_array_equal(np.asarray(column), expected[field.name].to_numpy())


@pytest.mark.parametrize("written", WITHOUT_LISTS, ids=str, indirect=True)
def test_voparquet_says_the_same(written):
    path, expected = written
    table = Table.read(path, format="parquet.votable")
    for field in expected.schema:
        unit = field.metadata[b"unit"].decode()
        assert table[field.name].unit == (units.Unit(unit) if unit else None)
        assert table[field.name].description == field.metadata[b"description"].decode()


def test_pandas_polars_and_duckdb_read_the_same_numbers(written):
    path, expected = written
    frames = {
        "pandas": pd.read_parquet(path),
        "polars": pl.read_parquet(path),
        "duckdb": duckdb.sql(f"select * from read_parquet('{path}')").df(),
    }
    for reader, frame in frames.items():
        assert list(frame.columns) == expected.column_names, reader
        for field in expected.schema:
            if not pa.types.is_list(field.type):
                np.testing.assert_array_equal(
                    np.asarray(frame[field.name]), expected[field.name].to_numpy(), err_msg=f"{reader} {field.name}"
                )


def test_what_we_read_is_what_we_wrote(written):
    path, expected = written
    back = read_table(path)
    assert back.equals(expected)
    assert back.schema.metadata == {b"recipe": b"3f2a9c1b0e"}


def test_a_table_written_in_parts_has_units_too(tmp_path):
    columns = schema(Kind.MEAN_STARS)
    part = pa.table([values(field) for field in columns], schema=columns)
    write_parts(tmp_path / "a.parquet", [part, part], columns)
    table = Table.read(tmp_path / "a.parquet")
    assert len(table) == 2 * N
    assert table["ra"].unit == units.deg
    assert b"IVOA.VOTable-Parquet.content" in pq.read_metadata(tmp_path / "a.parquet").metadata
