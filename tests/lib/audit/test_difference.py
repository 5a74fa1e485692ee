"""Two files compared, where it is known in what they differ."""

import numpy as np
import pyarrow as pa
import pytest

from ztf_in2p3.audit.difference import differences
from ztf_in2p3.errors import BadData
from ztf_in2p3.store.fits import Plane, write_fits
from ztf_in2p3.store.parquet import write_table

PIXELS = np.arange(64 * 64, dtype=np.int32).reshape(64, 64)  # integers are kept exactly


def texts(first, second) -> list[str]:
    return [str(difference) for difference in differences(first, second)]


@pytest.fixture
def pair(tmp_path):
    return tmp_path / "first.fits", tmp_path / "second.fits"


def test_the_same_image_has_no_difference(pair):
    for path in pair:
        write_fits(path, [Plane("Q1", PIXELS, "adu")])
    assert texts(*pair) == []


def test_pixels_differ_by_what_was_added(pair):
    changed = PIXELS.copy()
    changed[3, :4] += 10
    write_fits(pair[0], [Plane("Q1", PIXELS, "adu")], {"GAIN": 6.2})
    write_fits(pair[1], [Plane("Q1", changed, "adu")], {"GAIN": 6.3})
    (card, pixels) = texts(*pair)
    assert card == "PRIMARY GAIN: 6.2 and 6.3"
    # four of 4096 pixels by 10: mean 40 / 4096, root of the mean square 10 sqrt(4 / 4096)
    assert pixels.startswith("Q1 pixels: 4 of 4096 differ: mean 0.009766, rms 0.3125, robust scatter 0, most 10 adu")


def test_extensions_shapes_and_undefined_pixels(pair):
    blank = np.random.default_rng(1).normal(0, 1, (64, 64))
    blank[0, :3] = np.nan
    write_fits(pair[0], [Plane("Q1", PIXELS), Plane("Q2", PIXELS), Plane("Q3", blank)])
    write_fits(pair[1], [Plane("Q1", PIXELS[:32]), Plane("Q3", np.nan_to_num(blank))])
    words = "\n".join(texts(*pair))
    assert "Q2: only in the first file" in words
    assert "Q1 pixels: shapes (64, 64) and (32, 64)" in words
    assert "Q3 pixels: 3 of 4096 are not finite in one file, and otherwise in the other" in words


def test_columns_and_metadata(tmp_path):
    first, second = tmp_path / "first.parquet", tmp_path / "second.parquet"
    flux = np.array([1.0, 2.0, np.nan])
    write_table(first, pa.table({"flux": flux, "name": ["a", "b", "c"], "old": [1, 2, 3]}), {"filter": "zg"})
    write_table(second, pa.table({"flux": flux + np.array([0, 0.5, 0]), "name": ["a", "b", "d"], "new": [1, 2, 3]}))
    assert texts(first, second) == [
        "metadata filter: 'zg' and None",
        "column flux: 1 of 3 differ: mean 0.25, rms 0.3536, robust scatter 0.371, most 0.5, second minus first",
        "column name: 1 of 3 values differ",
        "column old: only in the first file",
        "column new: only in the second file",
    ]


def test_rows_that_are_missing(tmp_path):
    first, second = tmp_path / "first.parquet", tmp_path / "second.parquet"
    write_table(first, pa.table({"flux": [1.0, 2.0]}))
    write_table(second, pa.table({"flux": [1.0]}))
    assert texts(first, second) == ["rows: 2 and 1"]


def test_files_of_two_formats_are_not_compared(pair, tmp_path):
    write_fits(pair[0], [Plane("Q1", PIXELS)])
    write_table(tmp_path / "t.parquet", pa.table({"flux": [1.0]}))
    with pytest.raises(BadData, match="FITS and Parquet"):
        differences(pair[0], tmp_path / "t.parquet")
