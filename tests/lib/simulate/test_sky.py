"""The sky is the same for whoever looks at it, and its catalogue says what is there."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy_healpix import HEALPix

from ztf_in2p3.identifiers import Filter
from ztf_in2p3.simulate.reference import write_reference
from ztf_in2p3.simulate.sky import Sky, healpix_of, separation
from ztf_in2p3.tables import REFERENCE

SKY = Sky(seed=5)


def test_stars_do_not_depend_on_the_region_asked_for():
    here, there = SKY.around(359.9, 20.0, 0.3), SKY.around(0.1, 20.1, 0.3)
    shared, i, j = np.intersect1d(here.source_id, there.source_id, return_indices=True)
    assert len(shared) > 100
    for name in ("ra", "dec", "pmra", "phot_g_mean_mag", "phot_rp_mean_mag"):
        np.testing.assert_array_equal(getattr(here, name)[i], getattr(there, name)[j])
    # Every star of the one that is within the other's reach is there.
    within = separation(0.1, 20.1, here.ra, here.dec) <= 0.3
    assert within.sum() == len(shared)


def test_another_seed_is_another_sky():
    assert not np.intersect1d(SKY.around(10, 20, 0.3).ra, Sky(seed=6).around(10, 20, 0.3).ra).size


def test_stars_are_as_many_as_the_density_says_and_evenly_spread():
    stars = SKY.around(150.0, -30.0, 1.5)
    expected = SKY.density * 2 * np.pi * (1 - np.cos(np.deg2rad(1.5))) * np.rad2deg(1) ** 2
    assert len(stars) == pytest.approx(expected, abs=5 * np.sqrt(expected))
    inner = separation(150.0, -30.0, stars.ra, stars.dec) < 1.5 / np.sqrt(2)
    assert inner.sum() == pytest.approx(expected / 2, abs=5 * np.sqrt(expected / 4) + 0.001 * expected)


def test_numbers_rise_with_magnitude_by_the_slope():
    g = SKY.around(150.0, -30.0, 1.5).phot_g_mean_mag
    assert g.min() >= 13
    assert g.max() <= 19
    counts = [((g >= m) & (g < m + 1)).sum() for m in (14, 15, 16, 17)]
    for faint, bright in zip(counts[1:], counts[:-1], strict=True):
        assert faint / bright == pytest.approx(10**SKY.slope, rel=5 * np.sqrt(1 / faint + 1 / bright))


def test_source_ids_tell_the_pixel_and_are_unique():
    stars = SKY.around(80.0, 60.0, 1.0)
    assert len(np.unique(stars.source_id)) == len(stars)
    for order in (6, 8, 12):
        pixel = HEALPix(2**order, order="nested").lonlat_to_healpix(stars.ra * units.deg, stars.dec * units.deg)
        np.testing.assert_array_equal(healpix_of(stars.source_id, order), pixel)
    np.testing.assert_array_equal(stars.source_id // (2**35 * 4**6), healpix_of(stars.source_id, 6))


@pytest.mark.parametrize("order", [6, 8, 9])
def test_a_pixel_holds_the_stars_that_say_so(order):
    around = SKY.around(80.0, 60.0, 1.0)
    pixel = int(np.bincount(healpix_of(around.source_id, order)).argmax())
    inside = SKY.in_pixel(order, pixel)
    assert (healpix_of(inside.source_id, order) == pixel).all()
    known = around.source_id[healpix_of(around.source_id, order) == pixel]
    assert set(known) <= set(inside.source_id)
    assert len(known) > 20


def test_separation_agrees_with_astropy():
    ra, dec = np.array([10.0, 10.001, 200.0, 359.0]), np.array([20.0, 20.001, -80.0, 89.0])
    expected = SkyCoord(10.0, 20.0, unit="deg").separation(SkyCoord(ra, dec, unit="deg")).deg
    np.testing.assert_allclose(separation(10.0, 20.0, ra, dec), expected, atol=1e-10)


def test_stars_move_as_astropy_moves_them():
    stars = SKY.around(80.0, 60.0, 0.3)
    mjd = 58578.25
    ra, dec = stars.positions(mjd)
    known = np.isfinite(stars.pmra)
    assert 0 < (~known).sum() < 0.1 * len(stars)
    start = SkyCoord(
        stars.ra[known] * units.deg, stars.dec[known] * units.deg, frame="icrs",
        pm_ra_cosdec=stars.pmra[known] * units.mas / units.yr, pm_dec=stars.pmdec[known] * units.mas / units.yr,
    )  # fmt: skip
    moved = start.apply_space_motion(dt=(2000 + (mjd - 51544.5) / 365.25 - 2016) * units.yr)
    # The plane and the sphere agree to far better than a hundredth of a pixel.
    assert moved.separation(SkyCoord(ra[known], dec[known], unit="deg")).mas.max() < 0.1
    np.testing.assert_array_equal(dec[~known], stars.dec[~known])


def test_red_stars_are_fainter_in_g_than_in_i():
    stars = SKY.around(80.0, 60.0, 0.3)
    colour = stars.phot_bp_mean_mag - stars.phot_rp_mean_mag
    g_i = stars.magnitude(Filter.ZG) - stars.magnitude(Filter.ZI)
    assert np.corrcoef(colour, g_i)[0, 1] > 0.99


def test_half_of_the_stars_of_a_tiny_quadrant_stand_alone():
    stars = SKY.around(80.0, 20.0, 0.5)
    alone = [
        (separation(r, d, stars.ra, stars.dec) < 20 / 3600).sum() == 1 for r, d in zip(stars.ra, stars.dec, strict=True)
    ]
    # exp(-density pi 20"^2) = 0.498, and stars near the rim have fewer neighbours that we see.
    assert np.mean(alone) == pytest.approx(0.5, abs=0.03)
    per_quadrant = SKY.density * (256 * 1.012 / 3600) * (240 * 1.012 / 3600)
    assert 30 < per_quadrant < 40


def test_the_catalogue_on_disk_is_the_sky(tmp_path):
    """As the public copies are: a collection, partitions of two orders, files and folders, rows twice, nulls."""
    written = write_reference(SKY, tmp_path, [(80.0, 20.0, 0.9)])

    assert len({order for order, _ in written}) == 2
    assert "hats_primary_table_url=gaia" in (tmp_path / "collection.properties").read_text().splitlines()
    root = tmp_path / "gaia"
    info = (root / "partition_info.csv").read_text().splitlines()
    assert info[0] == "Norder,Npix"
    assert [tuple(map(int, line.split(","))) for line in info[1:]] == written
    tables, folders = {}, 0
    for order, pixel in written:
        path = root / f"dataset/Norder={order}/Dir={pixel // 10000 * 10000}/Npix={pixel}.parquet"
        folders += not path.is_file()
        parts = [path] if path.is_file() else sorted(path.with_suffix("").glob("*.parquet"))
        tables[order, pixel] = pa.concat_tables(pq.ParquetFile(part).read() for part in parts)
        assert (healpix_of(tables[order, pixel]["source_id"].to_numpy(), order) == pixel).all()
    assert 0 < folders < len(written)
    table = next(iter(tables.values()))
    assert {column.name for column in REFERENCE} < set(table.column_names)
    assert table["pmra"].null_count == table["parallax"].null_count > 0
    assert 0 < table["phot_bp_mean_mag"].null_count == table["phot_rp_mean_mag"].null_count < 0.03 * len(table)
    on_disk = np.concatenate([t["source_id"].to_numpy() for t in tables.values()])
    assert set(SKY.around(80.0, 20.0, 0.9).source_id) <= set(on_disk)
    twice = [key for key, t in tables.items() if len(np.unique(t["source_id"])) < len(t)]
    assert 0 < len(twice) < len(written)
    assert f"hats_nrows={len(on_disk)}" in (root / "hats.properties").read_text().splitlines()


def test_an_impossible_sky_is_refused():
    with pytest.raises(ValueError, match="bright < faint"):
        Sky(bright=20, faint=14)
