"""Tables longer than memory are written and read in parts, and are the same as whole ones."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ztf_in2p3.store import parquet
from ztf_in2p3.store.parquet import read_parts, read_table, write_parts

SCHEMA = pa.schema([pa.field("star_id", pa.int64()), pa.field("mag", pa.float64(), metadata={"unit": "mag"})])


def parts(sizes):
    begin = 0
    for n in sizes:
        yield pa.table({"star_id": np.arange(begin, begin + n), "mag": np.arange(n, dtype=float)}).cast(SCHEMA)
        begin += n


def test_what_was_written_in_parts_is_read_whole_and_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "ROWS_OF_A_GROUP", 100)
    write_parts(tmp_path / "table", parts([30, 250, 1]), SCHEMA)
    whole = pa.concat_tables(parts([30, 250, 1]))
    assert read_table(tmp_path / "table").equals(whole)
    read = list(read_parts(tmp_path / "table"))
    assert pa.concat_tables(read).equals(whole)
    assert [part.num_rows for part in read] == [30, 100, 100, 50, 1]
    assert pq.read_schema(tmp_path / "table").field("mag").metadata == {b"unit": b"mag"}


def test_equal_parts_give_equal_bytes_and_no_parts_an_empty_table(tmp_path):
    for name in ("one", "other"):
        write_parts(tmp_path / name, parts([5, 7]), SCHEMA)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    write_parts(tmp_path / "none", [], SCHEMA)
    assert read_table(tmp_path / "none").num_rows == 0
    assert pa.concat_tables([SCHEMA.empty_table(), *read_parts(tmp_path / "none")]).num_rows == 0
