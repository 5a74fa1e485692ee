"""Reference stars: moved to the date, told apart, put on pixels."""

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.time import Time
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lib.catalogue.skies import header, reference
from ztf_in2p3.catalogue.stars import at_epoch, cone, is_isolated, on_image, reference_stars, wcs_of
from ztf_in2p3.directions import unit_vectors
from ztf_in2p3.errors import BadData

SHAPE = (256, 240)
CENTRES = [(57.997, 35.746), (0.0, 10.0), (359.99, -5.0), (120.0, 89.9), (200.0, -89.95)]
seeds = st.integers(0, 2**32 - 1)


def separation_mas(ra_1, dec_1, ra_2, dec_2):
    return np.rad2deg(np.linalg.norm(unit_vectors(ra_1, dec_1) - unit_vectors(ra_2, dec_2), axis=-1)) * 3.6e6


def scatter(ra, dec, n, degrees, rng):
    """Stars around a position, also where right ascension ends and at the poles."""
    centre = SkyCoord(ra, dec, unit="deg")
    found = centre.directional_offset_by(
        rng.uniform(0, 360, n) * units.deg, degrees * np.sqrt(rng.random(n)) * units.deg
    )
    return found.ra.deg, found.dec.deg


# --- proper motion


@pytest.mark.parametrize(("ra", "dec"), CENTRES)
def test_proper_motion_is_the_rigorous_one(ra, dec):
    rng = np.random.default_rng(1)
    ra, dec = scatter(ra, dec, 50, 0.3, rng)
    pmra, pmdec = rng.normal(0, 300, (2, 50))  # mas/yr; the fastest star of the sky has 10 000
    moved = at_epoch(ra, dec, pmra, pmdec, years=5.25)
    with pytest.warns(Warning, match="distance"):  # astropy says how it deals with stars of unknown distance
        rigorous = SkyCoord(
            ra * units.deg, dec * units.deg, pm_ra_cosdec=pmra * units.mas / units.yr,
            pm_dec=pmdec * units.mas / units.yr, obstime=Time(2016.0, format="jyear", scale="tdb"),
        ).apply_space_motion(Time(2021.25, format="jyear", scale="tdb"))  # fmt: skip
    assert separation_mas(*moved, rigorous.ra.deg, rigorous.dec.deg).max() < 1e-3


@settings(deadline=None, max_examples=50)
@given(st.floats(0, 359.999), st.floats(-89, 89), st.floats(-20, 20), seeds)
def test_motion_there_and_back_is_none(ra, dec, years, seed):
    pmra, pmdec = np.random.default_rng(seed).normal(0, 100, 2)
    there = at_epoch(np.array([ra]), np.array([dec]), np.array([pmra]), np.array([pmdec]), years)
    assert separation_mas(*there, [ra], [dec])[0] == pytest.approx(np.hypot(pmra, pmdec) * abs(years), abs=0.01)
    back = at_epoch(*there, np.array([-pmra]), np.array([-pmdec]), years)
    # The direction of motion turns with the meridians: second order in 2" x tan(89 degrees).
    assert separation_mas(*back, [ra], [dec])[0] < 1.5


def test_unknown_motion_is_none_and_right_ascension_stays_in_its_circle():
    ra, dec = at_epoch(np.array([10.0, 359.9999999]), np.array([5.0, 0.0]),
                       np.array([np.nan, 1000.0]), np.array([np.nan, 0.0]), 10.0)  # fmt: skip
    np.testing.assert_allclose([ra[0], dec[0]], [10.0, 5.0], atol=1e-12)
    assert 0 <= ra[1] < 0.003


# --- isolation


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(CENTRES), st.integers(0, 30), seeds)
def test_isolation_is_what_all_pairs_say(centre, n, seed):
    ra, dec = scatter(*centre, n, 0.03, np.random.default_rng(seed))
    everyone = SkyCoord(ra, dec, unit="deg")
    slow = [all(everyone[i].separation(np.delete(everyone, i)).arcsec > 20) for i in range(n)]
    assert list(is_isolated(ra, dec, 20.0)) == slow


def test_a_star_just_outside_the_image_spoils_isolation():
    wcs = wcs_of(header(SHAPE), "test")
    ra, dec = wcs.all_pix2world([2.0, -8.0, 120.0], [100.0, 100.0, 100.0], 0)
    stars = reference_stars(reference(ra, dec), wcs, SHAPE, years=0, isolation_arcsec=20)
    assert dict(zip(stars.star_id, stars.isolated, strict=True)) == {1: False, 3: True}


# --- positions


def tpv_sky(wcs_header, x, y):
    """Sky of a pixel by the definition of TPV (polynomial of the intermediate coordinates, then gnomonic)."""
    h = wcs_header
    dx, dy = x + 1 - h["CRPIX1"], y + 1 - h["CRPIX2"]
    a, b = h["CD1_1"] * dx + h["CD1_2"] * dy, h["CD2_1"] * dx + h["CD2_2"] * dy

    def polynomial(axis, p, q):
        terms = [1, p, q, np.hypot(p, q), p * p, p * q, q * q, p**3, p * p * q, p * q * q, q**3]
        return sum(h.get(f"PV{axis}_{k}", 0.0) * term for k, term in enumerate(terms))

    xi, eta = np.deg2rad(polynomial(1, a, b)), np.deg2rad(polynomial(2, b, a))
    d_0 = np.deg2rad(h["CRVAL2"])
    ra = h["CRVAL1"] + np.rad2deg(np.arctan2(xi, np.cos(d_0) - eta * np.sin(d_0)))
    dec = np.rad2deg(np.arctan2(np.sin(d_0) + eta * np.cos(d_0), np.hypot(xi, np.cos(d_0) - eta * np.sin(d_0))))
    return ra % 360, dec


@pytest.mark.parametrize(("ra", "dec"), CENTRES)
def test_positions_are_those_of_the_tpv_definition_wherever_on_the_sky(ra, dec):
    rng = np.random.default_rng(2)
    shape = (3080, 3072)
    made = header(shape, ra, dec)
    x, y = rng.uniform(-0.5, shape[1] - 0.5, 300), rng.uniform(-0.5, shape[0] - 0.5, 300)
    star, x_found, y_found = on_image(wcs_of(made, "test"), *tpv_sky(made, x, y), shape)
    np.testing.assert_array_equal(star, np.arange(300))
    # Pixels to a 1e-6th, a microarcsecond: float32 right ascensions would be 0.1" off.
    np.testing.assert_allclose(x_found, x, atol=1e-6)
    np.testing.assert_allclose(y_found, y, atol=1e-6)


def test_no_star_is_lost_at_the_borders_and_none_is_found_beyond():
    made = header(SHAPE)
    wcs = wcs_of(made, "test")
    rows, columns = SHAPE
    along = np.linspace(-0.499, columns - 0.501, 50)
    inside_x = np.concatenate([along, along, np.full(50, -0.499), np.full(50, columns - 0.501)])
    upright = np.linspace(-0.499, rows - 0.501, 50)
    inside_y = np.concatenate([np.full(50, -0.499), np.full(50, rows - 0.501), upright, upright])
    centre = np.array([(columns - 1) / 2, (rows - 1) / 2])
    outside = centre + (np.stack([inside_x, inside_y], axis=1) - centre) * (1 + 0.01 / centre)
    ra, dec = wcs.all_pix2world(np.concatenate([inside_x, outside[:, 0]]), np.concatenate([inside_y, outside[:, 1]]), 0)
    star, _, _ = on_image(wcs, ra, dec, SHAPE)
    np.testing.assert_array_equal(star, np.arange(200))


def test_stars_far_away_do_no_harm():
    wcs = wcs_of(header(SHAPE), "test")
    rng = np.random.default_rng(3)
    ra, dec = rng.uniform(0, 360, 20_000), np.rad2deg(np.arcsin(rng.uniform(-1, 1, 20_000)))
    ra[0], dec[0] = wcs.all_pix2world(100.0, 50.0, 0)
    star, x, y = on_image(wcs, ra, dec, SHAPE)
    assert list(star) == [0]
    np.testing.assert_allclose([x[0], y[0]], [100, 50], atol=1e-6)
    assert on_image(wcs, ra[:0], dec[:0], SHAPE)[0].size == 0


@pytest.mark.parametrize(("ra", "dec"), CENTRES)
def test_the_cone_holds_the_image_and_a_rim(ra, dec):
    wcs = wcs_of(header(SHAPE, ra, dec), "test")
    x, y = np.meshgrid([-20.0, 120.0, 259.0], [-20.0, 128.0, 275.0])  # 19.5 pixels beyond the image
    ra_c, dec_c, radius = cone([wcs], SHAPE, beyond_arcsec=20 * np.sqrt(2) * 1.02)
    away = SkyCoord(ra_c, dec_c, unit="deg").separation(SkyCoord(*wcs.all_pix2world(x, y, 0), unit="deg")).deg
    assert away.max() <= radius
    assert radius < 1.05 * away.max()


def test_stars_come_with_their_columns_at_the_right_date():
    wcs = wcs_of(header(SHAPE), "test")
    ra, dec = wcs.all_pix2world([50.0, 300.0, 60.0], [60.0, 60.0, 200.0], 0)
    table = reference(ra, dec, pmra=np.array([200.0, 0, np.nan]), g_mag=np.array([15.0, 16, 17]), first_id=7)
    stars = reference_stars(table, wcs, SHAPE, years=5.0, isolation_arcsec=20)
    np.testing.assert_array_equal(stars.star_id, [7, 9])
    np.testing.assert_array_equal(stars.g_mag, np.float32([15, 17]))
    # 1" east in 5 years: east is towards smaller x.
    np.testing.assert_allclose(stars.x, [50 - 1 / 1.0125, 60], atol=0.002)
    assert np.isnan(stars.bp_mag).all()


# --- bad headers


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda h: h.remove("CTYPE1"), "no world coordinates .missing CTYPE1."),
        (lambda h: h.set("CTYPE1", "LINEAR") or h.set("CTYPE2", "LINEAR"), "no position on the sky"),
        (lambda h: h.set("INFOBITS", 4096 + 1), "bit 12 of INFOBITS"),
    ],
)
def test_a_header_without_astrometry_is_bad_data_and_named(spoil, says):
    made = header(SHAPE)
    spoil(made)
    with pytest.raises(BadData, match=f"ztf_x.*{says}"):
        wcs_of(made, "ztf_x")


def test_a_catalogue_of_other_columns_is_bad_data():
    wcs = wcs_of(header(SHAPE), "test")
    with pytest.raises(BadData, match="lacks the columns pmra"):
        reference_stars(reference([1.0], [1.0]).drop_columns(["pmra"]), wcs, SHAPE, years=0, isolation_arcsec=20)
