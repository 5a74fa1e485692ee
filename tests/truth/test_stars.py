"""Catalogues of stars against the stars."""

from itertools import pairwise

import numpy as np
import pytest

from tests.truth.photometry import BRIGHT, MMAG, RADII, RECIPE, joined, mean_and_error, photometry
from tests.truth.reduction import QIDS, measure
from ztf_in2p3.catalogue.science_image import science_image
from ztf_in2p3.identifiers import Quadrant
from ztf_in2p3.simulate import chain, files
from ztf_in2p3.simulate.reference import colourless


@pytest.fixture(scope="module")
def stars(night, catalogues, truths):
    return photometry(night.truth, catalogues, truths)


def test_fluxes_of_isolated_stars_are_unbiased_in_every_aperture_and_at_every_brightness(stars):
    assert len(stars.total) > 600
    edges = [0, 1200, 2000, 4000, BRIGHT, 30_000, np.inf]
    for low, high in pairwise(edges):
        some = stars.take((stars.total >= low) & (stars.total < high))
        for k in range(len(RADII)):
            mean, error = mean_and_error(some.pull[:, k], some.group)
            relative = np.average((some.flux / some.true - 1)[:, k], weights=(some.true / some.error)[:, k] ** 2)
            assert abs(mean) < 4 * error or abs(MMAG * relative) < 1


def test_errors_are_the_scatter_of_the_fluxes_bright_and_faint(stars):
    bright = stars.total > BRIGHT
    for chosen in (bright, ~bright):
        pull = stars.take(chosen).pull
        n = len(pull)
        assert n > 100
        np.testing.assert_allclose(pull.std(axis=0), 1, atol=4 / np.sqrt(2 * n))


def test_growth_curves_are_those_of_the_profile(stars):
    bright = stars.take(stars.total > BRIGHT)
    last = list(RADII).index(10.0)
    for k in range(last):
        # Fluxes in two circles share the inner one, so the difference scatters as the ring alone.
        ring = (bright.flux[:, last] - bright.flux[:, k]) - (bright.true[:, last] - bright.true[:, k])
        relative = ring / bright.true[:, last]
        weight = bright.total**2
        growth = np.average(relative, weights=weight)
        normed = relative * weight / weight.mean()
        _, error = mean_and_error(normed, bright.group)
        assert abs(growth) < 4 * error
        assert error < 1e-3


def test_positions_dates_and_colours_are_those_of_the_truth(night, catalogues, truths):
    for ccd, catalogue in catalogues.items():
        frame, both = night.plan.frame(ccd.exposure), joined(catalogue, truths[ccd])
        # Every star with its centre on a pixel is there, and no other.
        assert len(both) == catalogue.num_rows == truths[ccd].num_rows
        # Proper motion on a plane (truth) and on the sphere (catalogue) part by less than 1e-8 degrees; the inverse of
        # the astrometry is solved to 1e-4 pixels; u and v are float32, 1e-4 in 1000 pixels.
        np.testing.assert_allclose(both.x, both.x_true, atol=1e-4)
        np.testing.assert_allclose(both.y, both.y_true, atol=1e-4)
        np.testing.assert_allclose(both.ra, both.ra_true, atol=3e-8)
        np.testing.assert_allclose(both.dec, both.dec_true, atol=3e-8)
        np.testing.assert_allclose(both.u, both.u_true, atol=3e-4)
        np.testing.assert_allclose(both.v, both.v_true, atol=3e-4)
        # The header has seven digits.
        np.testing.assert_allclose(both.mjd, frame.mjd, atol=1e-7)
        # The truth knows precession to first order and takes the start of 30 s: 15" of sky.
        np.testing.assert_allclose(both.airmass, both.airmass_true, atol=1e-3)
        for qid in QIDS:
            placed = chain.placed_stars(night.plan, frame, Quadrant(ccd.ccdid, qid)).stars
            place = {star: i for i, star in enumerate(placed.source_id)}
            mine = both[both.qid == qid]
            index = [place[star] for star in mine.star_id]
            for column, true in (
                ("g_mag", "phot_g_mean_mag"),
                ("bp_mag", "phot_bp_mean_mag"),
                ("rp_mag", "phot_rp_mean_mag"),
            ):
                known = ~colourless(mine.star_id.to_numpy()) | (column == "g_mag")
                expected = np.where(known, getattr(placed, true)[index], np.nan)
                np.testing.assert_array_equal(mine[column], expected)
            np.testing.assert_array_equal(mine.colour, mine.bp_mag - mine.rp_mag)


def test_isolated_is_what_the_sky_says(night, catalogues):
    """Brute force over the whole sky of the simulation, by the spherical law of cosines' stable form."""
    for ccd, catalogue in list(catalogues.items())[:4]:
        table, mjd = catalogue.to_pandas(), night.plan.frame(ccd.exposure).mjd
        sky = night.plan.sky.around(table.ra.mean(), table.dec.mean(), 0.3)
        ra, dec = (np.deg2rad(one) for one in sky.positions(mjd))
        for star in table.itertuples():
            a, d = np.deg2rad(star.ra), np.deg2rad(star.dec)
            h = np.sin((dec - d) / 2) ** 2 + np.cos(dec) * np.cos(d) * np.sin((ra - a) / 2) ** 2
            distance = np.rad2deg(2 * np.arcsin(np.sqrt(h))) * 3600
            others = distance[sky.source_id != star.star_id]
            if abs(others.min() - 20) > 1e-3:  # the two ways to move a star part by less
                assert star.isolated == (others.min() > 20)
        assert 0.2 < table.isolated.mean() < 0.8


def test_the_archives_own_images_have_the_same_fluxes(night, catalogues, truths):
    theirs = {}
    for ccd in list(night.images)[::2]:
        images = {
            qid: science_image(night.tree / files.science_path(ccd, qid), night.tree / files.mask_path(ccd, qid))
            for qid in QIDS
        }
        theirs[ccd] = measure(night.tree, night.plan, ccd, images, RECIPE)
    a = photometry(night.truth, theirs, truths)
    for k in (0, 3, 7):
        mean, error = mean_and_error(a.pull[:, k], a.group)
        assert abs(mean) < 4 * error
        # Their variance is that of counts: the response of the pixels, a percent or two, is not in it.
        assert a.pull[:, k].std() == pytest.approx(1, abs=4 / np.sqrt(2 * len(a.pull)) + 0.02)
    # Same photons and read noise, other calibrations and rounding: the fluxes differ by much less than their errors.
    for ccd, table in theirs.items():
        one, other = table.to_pandas(), catalogues[ccd].to_pandas()
        np.testing.assert_array_equal(one.star_id, other.star_id)
        clean = (one.f_3_f == 0) & (other.f_3_f == 0)
        assert np.sqrt(np.mean(((one.f_3 - other.f_3) / one.f_3_e)[clean] ** 2)) < 0.5
