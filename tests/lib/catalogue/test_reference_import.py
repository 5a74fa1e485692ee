"""A table of stars from anywhere becomes a catalogue that the flows read: every star, where and what it was."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from ztf_in2p3.archive.reference import ReferenceCatalogue
from ztf_in2p3.catalogue import hats
from ztf_in2p3.catalogue.reference_import import REPEATED, import_reference
from ztf_in2p3.catalogue.stars import at_epoch
from ztf_in2p3.errors import BadData
from ztf_in2p3.store.parquet import read_table
from ztf_in2p3.tables import REFERENCE

NAMES = [column.name for column in REFERENCE]
N = 3000
PIXEL_12 = 1 << 35


def gaia_stars():
    """Stars over RA 0, with identifiers that tell the place as Gaia's do; some without colour or proper motion."""
    rng = np.random.default_rng(5)
    ra, dec = rng.uniform(-3, 3, N) % 360, rng.uniform(-2, 3, N)
    columns = {
        "source_id": (hats.healpix_29(ra, dec) >> 34) * PIXEL_12 + (np.arange(N) << 7),
        "ra": ra,
        "dec": dec,
        "parallax": rng.normal(1, 1, N),
        "pmra": np.where(rng.random(N) < 0.1, np.nan, rng.normal(0, 50, N)),
        "pmdec": rng.normal(0, 50, N),
    }
    for band in ("g", "bp", "rp"):
        columns[f"phot_{band}_mean_mag"] = np.where(rng.random(N) < 0.1, np.nan, rng.uniform(13, 19, N))
    return pa.table({name: pa.array(values, from_pandas=True) for name, values in columns.items()})


def laid_out(table, folder, *, columns=(), unit=(), epoch=2016.0):
    return import_reference(table, folder, columns=dict(columns), unit=dict(unit), epochs=(epoch, 2016.0), name="test")


def stars_of(folder, tmp_path):
    """All stars of a catalogue as the flows fetch them, by identifier."""
    source = ReferenceCatalogue.open(str(folder), epoch=2016.0)
    parts = []
    for order, pixels in source.pixels.items():
        for pixel in pixels.tolist():
            source.fetch(order, pixel, tmp_path / "partition")
            parts.append(read_table(tmp_path / "partition"))
    return pa.concat_tables(parts).sort_by("source_id")


def write(table, path):
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    elif path.suffix == ".csv":
        pacsv.write_csv(table, path)
    else:
        masked = Table({name: np.ma.masked_invalid(table[name].to_numpy()) for name in table.column_names})
        masked.write(path, format={".ecsv": "ascii.ecsv", ".vot": "votable", ".fits": "fits"}[path.suffix])
    return path


@pytest.mark.parametrize("suffix", ["parquet", "csv", "fits", "ecsv", "vot"])
def test_every_star_of_a_table_is_in_the_catalogue(tmp_path, suffix):
    table = gaia_stars()
    made = laid_out(write(table, tmp_path / f"stars.{suffix}"), tmp_path / "cat")
    found = stars_of(tmp_path / "cat", tmp_path)
    assert (made.stars, made.dropped, made.gaia_ids) == (N, {}, True)
    expected = table.sort_by("source_id")
    assert found["source_id"].to_pylist() == expected["source_id"].to_pylist()
    for name in NAMES[1:]:
        assert found[name].null_count == expected[name].null_count
        # Positions to the last bit; magnitudes are kept in single precision (half a step: 6e-8).
        np.testing.assert_allclose(found[name], expected[name], rtol=0 if name in ("ra", "dec") else 6e-8)


def test_names_and_units_of_others_are_translated(tmp_path):
    table = gaia_stars()
    theirs = pa.table(
        {
            "designation": pa.array([f"Gaia DR3 {star_id}" for star_id in table["source_id"].to_pylist()]),
            "alpha": np.radians(table["ra"].to_numpy()),
            "DE_ICRS": table["dec"],
            "mu": table["pmra"].to_numpy() / 1000,
            "Gmag": table["phot_g_mean_mag"],
        }
    )
    made = laid_out(
        write(theirs, tmp_path / "stars.parquet"),
        tmp_path / "cat",
        columns={"source_id": "designation", "ra": "alpha", "pmra": "mu"},
        unit={"ra": "rad", "pmra": "arcsec/yr"},
    )
    found, expected = stars_of(tmp_path / "cat", tmp_path), table.sort_by("source_id")
    assert made.gaia_ids
    assert found["source_id"].to_pylist() == expected["source_id"].to_pylist()
    np.testing.assert_allclose(found["ra"], expected["ra"], rtol=1e-15, atol=1e-13)  # a rounding, there and back
    np.testing.assert_allclose(found["pmra"], expected["pmra"], rtol=1e-12)
    assert found["pmdec"].null_count == N  # not in the table: unknown


def test_units_that_a_file_gives_are_heeded(tmp_path):
    table = Table({name: np.asarray(gaia_stars()[name]) for name in ("source_id", "ra", "dec", "pmra")})
    table["dec"] = table["dec"] * 3600
    table["dec"].unit, table["pmra"].unit = "arcsec", "mas.yr**-1"
    table.write(tmp_path / "stars.fits")
    laid_out(tmp_path / "stars.fits", tmp_path / "cat")
    expected = gaia_stars().sort_by("source_id")
    np.testing.assert_allclose(stars_of(tmp_path / "cat", tmp_path)["dec"], expected["dec"], rtol=1e-14)


@pytest.mark.parametrize("texts", [True, False])
def test_identifiers_that_tell_no_place_are_replaced_and_kept(tmp_path, texts):
    table = gaia_stars()
    theirs = [f"J{k:05d}" if texts else k for k in range(N)]
    table = table.set_column(0, "source_id", pa.array(theirs))
    made = laid_out(write(table, tmp_path / "stars.parquet"), tmp_path / "cat")
    found = stars_of(tmp_path / "cat", tmp_path)
    assert (made.stars, made.gaia_ids) == (N, False)
    star_id = found["source_id"].to_numpy()
    assert len(set(star_id)) == N
    pixel = hats.healpix_29(found["ra"].to_numpy(), found["dec"].to_numpy()) >> 34
    assert (star_id // PIXEL_12 == pixel).all()
    files = (tmp_path / "cat/dataset").rglob("Npix=*.parquet")
    assert sorted(name for path in files for name in pq.ParquetFile(path).read()["original_id"].to_pylist()) == sorted(
        map(str, theirs)
    )


def test_rows_that_cannot_be_used_are_counted_by_reason(tmp_path):
    lines = ["source_id,ra,dec,pmra,phot_g_mean_mag"]
    places = zip(*(gaia_stars()[name].to_pylist() for name in NAMES[:3]), strict=True)
    lines += [f"{star},{ra!r},{dec!r},1.5,16" for star, ra, dec in places]
    odd = ["7,,2.0,1,16", "8,1.0,95,1,16", "9,1.0,2.0,1,16,17,18", "null,1.0,2.0,1,16", lines[1], lines[1]]
    (tmp_path / "stars.csv").write_text("\n".join([*lines, *odd, lines[2].replace("1.5", "fast"), ""]))
    made = laid_out(tmp_path / "stars.csv", tmp_path / "cat")
    assert made.stars == N
    assert made.dropped == {
        "no position": 1,
        "a position that is none (degrees are expected)": 1,
        "lines with another number of cells than columns": 1,
        "no identifier": 1,
        REPEATED: 3,
        "cells of pmra that are no number, taken as unknown": 1,
    }


@pytest.mark.parametrize("by_column", [True, False])
def test_positions_of_another_epoch_are_moved(tmp_path, by_column):
    table = gaia_stars()
    if by_column:
        table = table.append_column("ref_epoch", pa.array(np.full(N, 2000.0)))
    laid_out(write(table, tmp_path / "stars.parquet"), tmp_path / "cat", epoch=2016.0 if by_column else 2000.0)
    found, start = stars_of(tmp_path / "cat", tmp_path), table.sort_by("source_id")
    ra, dec = at_epoch(*(np.asarray(start[name], float) for name in ("ra", "dec", "pmra", "pmdec")), 16.0)
    np.testing.assert_allclose(found["dec"], dec, atol=1e-12)
    np.testing.assert_allclose((found["ra"].to_numpy() - ra + 180) % 360, 180, atol=1e-12)
    assert np.abs(found["dec"].to_numpy() - start["dec"].to_numpy()).max() * 3600 > 1  # 50 mas/yr for 16 years: 0.8"


def test_a_table_longer_than_memory_is_laid_out_the_same(tmp_path, monkeypatch):
    write(gaia_stars(), tmp_path / "stars.parquet")
    laid_out(tmp_path / "stars.parquet", tmp_path / "at once")
    monkeypatch.setattr(hats, "ROWS_IN_MEMORY", 250)
    monkeypatch.setattr("ztf_in2p3.tables.files.ROWS_AT_ONCE", 100)
    laid_out(tmp_path / "stars.parquet", tmp_path / "in parts")
    assert stars_of(tmp_path / "in parts", tmp_path).equals(stars_of(tmp_path / "at once", tmp_path))
    assert not list(tmp_path.rglob("pieces"))


NO_TABLES = {
    "no position": ("source_id,x\n1,2\n", "no column ra, dec.*--columns ra=NAME dec=NAME"),
    "no rows": ("source_id,ra,dec\n", "no row can be used"),
    "sexagesimal": ("source_id,ra,dec\n1,12:30:00,-3:00:00\n", r"no row can be used: .*no position \(1\)"),
    "nothing": ("", "is empty"),
    "a page": ("<html></html>", "XML or HTML"),
}


@pytest.mark.parametrize("kind", NO_TABLES)
def test_what_is_no_table_of_stars_is_refused(tmp_path, kind):
    text, words = NO_TABLES[kind]
    (tmp_path / "stars.csv").write_text(text)
    with pytest.raises(BadData, match=words):
        laid_out(tmp_path / "stars.csv", tmp_path / "cat")
    assert not (tmp_path / "cat").exists()


def test_identifiers_that_have_lost_digits_are_refused(tmp_path):
    table = gaia_stars()
    table = table.set_column(0, "source_id", table["source_id"].cast(pa.float64(), safe=False))
    with pytest.raises(BadData, match="lose digits"):
        laid_out(write(table, tmp_path / "stars.parquet"), tmp_path / "cat")


@pytest.mark.parametrize("suffix", ["parquet", "fits"])
def test_a_table_that_breaks_off_leaves_no_catalogue(tmp_path, suffix):
    path = write(gaia_stars(), tmp_path / f"stars.{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(BadData, match="export the table again"):
        laid_out(path, tmp_path / "cat")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [path.name]


def test_units_and_columns_that_cannot_be_are_refused(tmp_path):
    path = write(gaia_stars(), tmp_path / "stars.parquet")
    with pytest.raises(BadData, match="in 'mag', expected mas / yr"):
        laid_out(path, tmp_path / "cat", unit={"pmra": "mag"})
    with pytest.raises(BadData, match="not known"):
        laid_out(path, tmp_path / "cat", unit={"ra": "degr"})
    with pytest.raises(BadData, match="no column RAJ2000"):
        laid_out(path, tmp_path / "cat", columns={"ra": "RAJ2000"})
    with pytest.raises(ValueError, match="no column colour"):
        laid_out(path, tmp_path / "cat", columns={"colour": "bp_rp"})
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="something else"):
        laid_out(path, tmp_path / "file")
