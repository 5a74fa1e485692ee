"""A catalogue laid out as HATS is found again by the reader of such catalogues, whole and in its place."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ztf_in2p3.archive.cones import pixels_touching
from ztf_in2p3.archive.hats_layout import partition_path, partitions
from ztf_in2p3.archive.storage import storage_at
from ztf_in2p3.catalogue import hats

N = 3000


@pytest.fixture
def parts():
    """Two tables of stars around RA 0, one star without a position."""
    rng = np.random.default_rng(3)
    ra, dec = rng.uniform(-6, 6, N) % 360, rng.uniform(-5, 35, N)
    ra[17] = np.nan
    table = pa.table({"star_id": np.arange(N), "ra": ra, "dec": dec, "mag": rng.normal(16, 1, N)})
    return [table.slice(0, 1000), table.slice(1000)]


def rows_of(folder):
    files = sorted((folder / "dataset").rglob("*.parquet"))
    return files, pa.concat_tables(pq.ParquetFile(path).read() for path in files)


@pytest.mark.parametrize("most", [10**6, 40])
def test_every_star_is_in_the_file_of_its_pixel(parts, tmp_path, monkeypatch, most):
    monkeypatch.setattr(hats, "ROWS", most)
    assert hats.write_hats(parts, tmp_path / "stars", name="test", order=3) == N - 1

    files, table = rows_of(tmp_path / "stars")
    expected = pa.concat_tables(parts)
    expected = expected.take(pa.array(np.delete(np.arange(N), 17)))
    assert table.drop_columns([hats.INDEX]).sort_by("star_id").equals(expected)
    for path in files:
        one = pq.ParquetFile(path).read()
        order, pixel = (int(path.parts[k].partition("=")[2].removesuffix(".parquet")) for k in (-3, -1))
        index = one[hats.INDEX].to_numpy()
        assert np.all(np.diff(index) >= 0)
        assert set(index >> 2 * (29 - order)) == {pixel}
        assert one.num_rows <= most


def test_the_reader_of_reference_catalogues_finds_the_stars_around_a_place(parts, tmp_path):
    hats.write_hats(parts, tmp_path / "stars", name="test", order=4)
    touched = pixels_touching(partitions(storage_at(str(tmp_path / "stars"))), (0.5, 10.0, 1.0))
    files = [tmp_path / "stars" / partition_path(order, pixel) for order, pixel in touched]
    found = pa.concat_tables(pq.ParquetFile(path).read() for path in files)
    table = pa.concat_tables(parts)
    ra, dec = table["ra"].to_numpy(), table["dec"].to_numpy()
    near = np.hypot(((ra - 0.5 + 180) % 360 - 180) * np.cos(np.deg2rad(dec)), dec - 10) < 0.95
    assert near.sum() > 10
    assert set(table["star_id"].to_numpy()[near]) <= set(found["star_id"].to_numpy())
    assert found.num_rows < N / 4


def test_a_catalogue_is_replaced_and_anything_else_is_left_alone(parts, tmp_path):
    hats.write_hats(parts, tmp_path / "stars", name="test", order=3)
    hats.write_hats(parts[:1], tmp_path / "stars", name="test", order=3)
    assert rows_of(tmp_path / "stars")[1].num_rows == 999
    assert "hats_nrows=999\n" in (tmp_path / "stars" / "hats.properties").read_text()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(ValueError, match="something else"):
        hats.write_hats(parts, tmp_path / "mine", name="test", order=3)
    assert (tmp_path / "mine" / "thesis.tex").exists()
