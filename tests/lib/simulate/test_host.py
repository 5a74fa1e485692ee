"""A supernova, its galaxy and its garden in the simulated sky."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np

from ztf_in2p3.identifiers import Filter, Quadrant
from ztf_in2p3.simulate import chain
from ztf_in2p3.simulate.exposures import NightPlan, tiny_night
from ztf_in2p3.simulate.host import Supernova
from ztf_in2p3.simulate.sky import Sky, garden
from ztf_in2p3.simulate.wcs import centre_pixel, quadrant_wcs

QUADRANT = Quadrant(6, 1)


def plan_with(**about: float) -> NightPlan:
    """A night of one exposure, a supernova in the middle of the quadrant."""
    bare = tiny_night(date(2019, 4, 5), ccdids=(6,), filters=(Filter.ZR,), n_bias=0, n_flat=0, n_object=1, n_field=1)
    ra, dec = quadrant_wcs(bare, bare.objects[0], QUADRANT).all_pix2world(*centre_pixel(bare.camera), 0)
    one = Supernova(float(ra), float(dec), explosion=bare.objects[0].mjd - 15, **about)
    return replace(bare, sky=Sky(bare.sky.seed, supernovae=(one,)))


def test_the_light_of_galaxy_and_supernova_is_what_their_magnitudes_say():
    plan = plan_with(peak=17.0, host=17.0)
    plan = replace(plan, effects=replace(plan.effects, vignetting=False))
    dark = replace(plan, sky=replace(plan.sky, supernovae=(replace(plan.sky.supernovae[0], host=99, peak=99),)))
    frame, (one,) = plan.objects[0], plan.sky.supernovae
    light = chain.light(plan, frame, QUADRANT).astype(float) - chain.light(dark, frame, QUADRANT)
    zero_point = frame.zero_point - frame.extinction * (frame.airmass - 1)
    expected = sum(10 ** (-0.4 * (m - zero_point)) for m in (17.0, one.magnitude(frame.mjd)))
    # The airmass of the pointing is not quite that of the quadrant: 0.1 deg away, 1e-3 mag at most at airmass 2.
    np.testing.assert_allclose(light.sum() / plan.camera.gain, expected, rtol=3e-3)
    row, column = np.unravel_index(light.argmax(), light.shape)
    assert np.hypot(row - light.shape[0] / 2, column - light.shape[1] / 2) < 4


def test_no_two_stars_of_the_garden_are_close():
    (one,) = plan_with().sky.supernovae
    stars = garden(one)
    east, north = (stars.ra - one.ra) * np.cos(np.deg2rad(one.dec)) * 3600, (stars.dec - one.dec) * 3600
    apart = np.hypot(east[:, None] - east, north[:, None] - north) + 1e9 * np.eye(len(stars))
    assert apart.min() > 0.7 * one.spacing
    assert np.hypot(east, north).min() > 0.7 * one.spacing


def test_the_garden_replaces_the_stars_that_were_there_and_no_others():
    plan = plan_with()
    (one,) = plan.sky.supernovae
    radius = 0.12
    wild = Sky(plan.sky.seed).around(one.ra, one.dec, radius)
    grown = plan.sky.around(one.ra, one.dec, radius)
    outside = wild.source_id[~one.shades(wild.ra, wild.dec)]
    assert set(grown.source_id) == set(outside) | set(garden(one).source_id)
    assert len(set(grown.source_id)) == len(grown)


def test_a_plan_with_a_supernova_survives_its_own_file():
    plan = plan_with()
    assert NightPlan.from_json(plan.to_json()) == plan
