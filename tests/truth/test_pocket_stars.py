"""Stars read through a pocket whose work was undone, beside the same stars, photons and read noise without one.

Rows as long as real ones.  The amplifier of the power law has the deepest pocket of the 64: it takes all of what
a pixel of 69 ADU held.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest

from lib.catalogue.aperture_catalogue import measure_stars
from lib.catalogue.apertures import Apertures
from lib.catalogue.background import Background
from lib.catalogue.stars import Stars
from lib.identifiers import Quadrant
from lib.recipes import PhotometryRecipe
from lib.sensor.equilibrium import NODES, Equilibrium
from lib.sensor.pocket import power_law_of
from lib.simulate.pocket import EquilibriumPocket, equilibrium_charge, power_law_pocket
from lib.simulate.psf import aperture_fractions, draw_stars

SHAPE, SPACING = (770, 3072), 45
DEEPEST, KELVIN = Quadrant(6, 1), 171.0
GAIN, READ_NOISE, FWHM = 6.2, 9.0 / 6.2, 2.2
"""e-/ADU, ADU, pixels."""
RECIPE = PhotometryRecipe()
RADII = np.array(RECIPE.radii)
MMAG = 2500 / np.log(10)


class Seen(NamedTuple):
    total: np.ndarray
    """(star,): true flux within any radius, ADU."""
    true: np.ndarray
    """(star, aperture)"""
    on: Apertures
    off: Apertures
    sky_on: Background
    sky_off: Background


def read_out(charge, read, model):
    """Forward through the pocket, with the read noise after it; and back."""
    if model == "powerlaw":
        forward, pocket = power_law_pocket(DEEPEST), power_law_of(DEEPEST)
    else:
        forward = EquilibriumPocket(lambda observed: equilibrium_charge(observed, KELVIN, DEEPEST))
        pocket = Equilibrium(equilibrium_charge(NODES.astype(float), KELVIN, DEEPEST).astype(np.float32))
    light = (forward.read(charge, 0)[0] + read).astype(np.float32)
    lost = np.zeros(light.shape, bool)
    pocket.recover(light, lost, backwards=False)
    assert not lost.any()
    return light


def measured(data, x, y):
    nothing = np.zeros(len(x))
    unknown = nothing.astype(np.float32)
    stars = Stars(nothing.astype(np.int64), nothing, nothing, x, y, nothing == 0, unknown, unknown, unknown)
    variance = (np.clip(data, 0, None) / GAIN + READ_NOISE**2).astype(np.float32)
    bad = np.zeros(data.shape, bool)
    return measure_stars(data, variance, bad, stars, stars.take(nothing > 0), RECIPE)


@pytest.fixture(scope="module", params=[("powerlaw", 100), ("powerlaw", 400), ("powerlaw", 1000), ("equilibrium", 100)])
def seen(request):
    model, sky = request.param
    draw = np.random.default_rng(sky)
    y, x = (
        one.ravel() + draw.uniform(-5, 5, one.size)
        for one in np.mgrid[25 : SHAPE[0] - 20 : SPACING, 25 : SHAPE[1] - 20 : SPACING]
    )
    total = 10 ** draw.uniform(2.3, 5.0, x.size)
    charge = draw.poisson((draw_stars(SHAPE, x, y, total, FWHM) + sky) * GAIN) / GAIN
    read = draw.normal(0, READ_NOISE, SHAPE)
    sky_on, on = measured(read_out(charge, read, model), x, y)
    sky_off, off = measured((charge + read).astype(np.float32), x, y)
    assert len(x) > 1000
    assert not (on.flag | off.flag).any()
    true = total[:, np.newaxis] * aperture_fractions(x, y, RADII, FWHM)
    return Seen(total, true, on, off, sky_on, sky_off)


def test_pulls_are_one_in_every_aperture_bright_and_faint(seen):
    bright = seen.total > 7000  # a star's own photons make more noise than the sky in the smallest aperture
    pull = (seen.on.flux - seen.true) / seen.on.error
    for chosen in (bright, ~bright):
        n = np.count_nonzero(chosen)
        assert n > 300
        np.testing.assert_allclose(pull[chosen].std(axis=0), 1, atol=4 / np.sqrt(2 * n))


def test_errors_grow_through_the_pocket_as_the_scatter_does(seen):
    """The same noise on both sides, so that the pulls' squares differ by much less than each scatters."""
    on, off = ((one.flux - seen.true) / one.error for one in (seen.on, seen.off))
    excess = on**2 - off**2
    error = excess.std(axis=0) / np.sqrt(len(excess))
    # Of both skies the correlations of neighbours are known to 1 / sqrt(pixels), of 4 lags, twice; the noise to less.
    known = np.sqrt(2) * 2 * np.sqrt(4) / np.sqrt(SHAPE[0] * SHAPE[1])
    assert (np.abs(excess.mean(axis=0)) < 4 * np.hypot(error, known)).all()


def test_fluxes_are_those_without_a_pocket(seen):
    """Star by star they differ by what the pocket does to the read noise at the ends of an aperture's rows, which
    nothing can undo; on average by half a millimagnitude or a tenth of the error at most."""
    difference = seen.on.flux - seen.off.flux
    edges = [0, 1000, 3000, 10_000, 30_000, np.inf]
    for low, high in pairwise(edges):
        some = (seen.total >= low) & (seen.total < high)
        change, relative = difference[some] / seen.off.error[some], MMAG * difference[some] / seen.true[some]
        for k, radius in enumerate(RADII):
            if low >= 3000 and radius <= 6:
                assert abs(relative[:, k].mean()) < 0.5
            assert abs(change[:, k].mean()) < 0.1
            assert change[:, k].std() < 0.1


def test_sky_is_that_without_a_pocket(seen):
    assert abs(np.mean(seen.sky_on.level - seen.sky_off.level)) < 0.05
