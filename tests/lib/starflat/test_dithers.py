"""A sequence is a sequence only with dithers, and extinction is measured only where airmass differs in an exposure."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from ztf_in2p3.camera import TINY
from ztf_in2p3.errors import BadData
from ztf_in2p3.fit.sources import TableSource
from ztf_in2p3.recipes import RobustRecipe, StarflatRecipe, UbercalRecipe
from ztf_in2p3.simulate.measurements import Effects, dithered_sequence, star_measurements, survey
from ztf_in2p3.starflat.dithers import dither_extent
from ztf_in2p3.starflat.model import fit_starflat
from ztf_in2p3.starflat.tables import map_quality
from ztf_in2p3.ubercal.model import fit_ubercal

RECIPE = StarflatRecipe(superpixels=2, model="zp", robust=RobustRecipe(draws=8))
EFFECTS = Effects(map_cells=2, colour_map=0, airmass=0)


def one_airmass(table):
    exposure, airmass = table["exposure"].to_numpy(), table["airmass"].to_numpy()
    names, at = np.unique(exposure, return_inverse=True)
    mean = np.bincount(at, airmass, len(names)) / np.bincount(at)
    return table.set_column(table.column_names.index("airmass"), "airmass", pa.array(mean[at].astype(np.float32)))


def test_five_exposures_within_forty_arcseconds_are_no_sequence():
    still = dithered_sequence(5, TINY)
    offsets = np.random.default_rng(1).uniform(-20, 20, (5, 2)) / TINY.pixel_scale
    still = dataclasses.replace(still, centre=offsets)
    table, _ = star_measurements(TINY, still, 1500, EFFECTS, seed=1)
    assert dither_extent(TableSource(table), TINY) * TINY.shape[1] <= np.hypot(40, 40) / TINY.pixel_scale
    with pytest.raises(BadData, match=r"no dithered sequence: stars move by \d+ pixels"):
        fit_starflat(table, TINY, RECIPE)
    # Whoever wants it all the same can have it; no measurement is corrected with a map that is not good.
    forced = fit_starflat(table, TINY, dataclasses.replace(RECIPE, least_dither=0.0))
    assert not map_quality(forced)["good"] or map_quality(forced)["median_sigma_mmag"] < 20


def test_the_extent_of_a_dither_is_that_of_the_pointings():
    pointings = dithered_sequence(12, TINY)
    table, _ = star_measurements(TINY, pointings, 1500, EFFECTS, seed=1)
    distance = np.hypot(*(pointings.centre[:, None] - pointings.centre[None]).T).max()
    extent = dither_extent(TableSource(table), TINY) * TINY.shape[1]
    assert 0.4 * distance < extent <= distance
    good = map_quality(fit_starflat(table, TINY, RECIPE))
    assert good["good"]
    assert good["converged"]


def test_one_airmass_an_exposure_is_the_zero_points_and_that_is_told():
    table, _ = star_measurements(TINY, dithered_sequence(12, TINY), 1500, EFFECTS, seed=1)
    full = dataclasses.replace(RECIPE, model="full", colour_cells=1)
    fit = fit_starflat(one_airmass(table), TINY, full).fit
    assert "airmass" not in fit.parameters
    assert any("every exposure has one airmass" in d.name for d in fit.degeneracies)
    assert "airmass" in fit_starflat(table, TINY, full).fit.parameters
    held = dataclasses.replace(full, airmass_prior=(0.1, 0.02))
    assert "airmass" in fit_starflat(one_airmass(table), TINY, held).fit.parameters


def test_one_airmass_an_exposure_of_a_survey_is_told_too():
    table, _ = star_measurements(
        TINY, survey(1, 8, TINY, seed=1), 800, dataclasses.replace(EFFECTS, airmass=0.1), seed=1
    )
    recipe = UbercalRecipe(airmass=True, airmass_prior=None, robust=RobustRecipe(draws=0))
    fit = fit_ubercal(one_airmass(table), TINY, recipe).fit
    assert fit.converged
    assert "airmass" not in fit.parameters
    assert any("every exposure has one airmass" in d.name for d in fit.degeneracies)
