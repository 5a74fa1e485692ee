"""A table keeps its columns, units and meanings, and its bytes depend on nothing else."""

from __future__ import annotations

from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ztf_in2p3.errors import BadData
from ztf_in2p3.store.parquet import read_table, write_table
from ztf_in2p3.tables import catalogue_schema

SCHEMA = catalogue_schema((3.0, 4.0))
_AT = SCHEMA.get_field_index("filter")
SCHEMA = SCHEMA.set(_AT, SCHEMA.field(_AT).with_type(pa.dictionary(pa.int8(), pa.string())))  # as others may write it


def catalogue(n: int = 50) -> pa.Table:
    def column(kind: pa.DataType) -> pa.Array:
        if pa.types.is_dictionary(kind):
            return pa.array(["zr", "zg", None, "zi", "zg"] * (n // 5)).dictionary_encode().cast(kind)
        if pa.types.is_boolean(kind):
            return pa.array([True, False, None, True, False] * (n // 5))
        return pa.array([k % 100 if k % 7 else None for k in range(n)]).cast(kind)

    return pa.table([column(field.type) for field in SCHEMA], schema=SCHEMA)


def test_values_types_units_and_meanings_come_back(tmp_path):
    write_table(tmp_path / "a.parquet", catalogue(), {"recipe": "3f2a9c1b0e"})
    back = read_table(tmp_path / "a.parquet")
    assert back.equals(catalogue())
    assert back.schema.remove_metadata().equals(SCHEMA, check_metadata=True)
    assert back.schema.field("x").metadata == {
        b"unit": b"pix",
        b"description": SCHEMA.field("x").metadata[b"description"],
    }
    assert back.schema.metadata == {b"recipe": b"3f2a9c1b0e"}


def test_metadata_of_the_table_are_kept_and_overridden(tmp_path):
    table = catalogue().replace_schema_metadata({"a": "old", "b": "kept"})
    write_table(tmp_path / "a.parquet", table, {"a": "new"})
    assert read_table(tmp_path / "a.parquet").schema.metadata == {b"a": b"new", b"b": b"kept"}


def test_columns_come_in_the_order_asked_for(tmp_path):
    write_table(tmp_path / "a.parquet", catalogue())
    assert read_table(tmp_path / "a.parquet", ["f_0", "ra"]).equals(catalogue().select(["f_0", "ra"]))


def test_the_name_of_a_folder_adds_no_column(tmp_path):
    folder = tmp_path / "Norder=6" / "Npix=123"
    folder.mkdir(parents=True)
    write_table(folder / "a.parquet", catalogue())
    assert read_table(folder / "a.parquet").column_names == SCHEMA.names


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, 50), max_size=5), metadata=st.permutations(["a", "b", "c"]))
def test_bytes_do_not_tell_how_a_table_was_put_together(tmp_path_factory, cuts, metadata):
    folder = tmp_path_factory.mktemp("parquet")
    whole, edges = catalogue(), [0, *sorted(cuts), 50]
    pieces = pa.concat_tables([whole.slice(a, b - a) for a, b in pairwise(edges)])
    recoded = pieces.set_column(
        pieces.schema.get_field_index("filter"),
        SCHEMA.field("filter"),
        pa.DictionaryArray.from_arrays(  # the same values, another order of the dictionary, with entries not used
            pa.array([{"zi": 0, "zg": 2, "zr": 3}.get(v) for v in whole["filter"].to_pylist()], pa.int8()),
            pa.array(["zi", "never", "zg", "zr"]),
        ),
    )
    write_table(folder / "a.parquet", whole, {"a": "1", "b": "2", "c": "3"})
    write_table(folder / "b.parquet", recoded, {key: {"a": "1", "b": "2", "c": "3"}[key] for key in metadata})
    assert (folder / "a.parquet").read_bytes() == (folder / "b.parquet").read_bytes()


def test_an_empty_table_is_a_table(tmp_path):
    write_table(tmp_path / "a.parquet", SCHEMA.empty_table())
    assert read_table(tmp_path / "a.parquet").equals(SCHEMA.empty_table())


def test_what_is_wrong_with_a_file_is_told(tmp_path):
    path = tmp_path / "a.parquet"
    write_table(path, catalogue())
    with pytest.raises(BadData, match=r"a\.parquet: no column no_such; it has star_id"):
        read_table(path, ["ra", "no_such"])
    for content in (b"", b"junk" * 100, path.read_bytes()[:-200]):
        path.write_bytes(content)
        with pytest.raises(BadData, match="cannot be read as Parquet"):
            read_table(path)
    with pytest.raises(FileNotFoundError):
        read_table(tmp_path / "none.parquet")
