"""Stars read through a pocket whose work was undone, beside the same stars, photons and read noise without one.

Rows as long as real ones.  The deepest pocket of the 64 takes all of what a pixel of 69 ADU held, a typical one of 14.

What cannot be undone: read noise comes after the pocket, so the charge in front of an aperture's rows and at their ends
is known to f' times the read noise only, f' being the slope of the charge with the level.  (The photons' noise hardly
tells the two apart: at best to f' / sqrt(1 / photons + 1 / read^2), 6 % better at a sky of 100 ADU.)  That is what
fluxes differ by from those without a pocket: 1.5 mmag at worst at 3000 ADU, in the deepest pocket under a sky of 100.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest

from ztf_in2p3.catalogue.aperture_catalogue import measure_stars
from ztf_in2p3.catalogue.apertures import Apertures
from ztf_in2p3.catalogue.background import Background
from ztf_in2p3.catalogue.stars import Stars
from ztf_in2p3.identifiers import Quadrant
from ztf_in2p3.recipes import PhotometryRecipe
from ztf_in2p3.sensor.equilibrium import NODES, Equilibrium
from ztf_in2p3.sensor.pocket import power_law_of
from ztf_in2p3.simulate.pocket import EquilibriumPocket, equilibrium_charge, power_law_pocket
from ztf_in2p3.simulate.psf import aperture_fractions, draw_stars

SHAPE, SPACING = (770, 3072), 45
DEEPEST, TYPICAL, KELVIN = Quadrant(6, 1), Quadrant(10, 2), 171.0
"""Of the published power laws, by their slope at 100 ADU: the largest and the middle one."""
GAIN, READ_NOISE, FWHM = 6.2, 9.0 / 6.2, 2.2
"""e-/ADU, ADU, pixels."""
RECIPE = PhotometryRecipe()
RADII = np.array(RECIPE.radii)
MMAG = 2500 / np.log(10)


class Seen(NamedTuple):
    within: bool
    """Whether every star can be within half a millimagnitude or a tenth of its error."""
    x: np.ndarray
    y: np.ndarray
    response: tuple[np.ndarray, np.ndarray]
    """Of the charge behind a pixel to an error of that pixel, and to one of the charge before it: (row, column)."""
    total: np.ndarray
    """(star,): true flux within any radius, ADU."""
    true: np.ndarray
    """(star, aperture)"""
    on: Apertures
    off: Apertures
    sky_on: Background
    sky_off: Background


def read_out(charge, read, model, quadrant):
    """Forward through the pocket, with the read noise after it; and back."""
    if model == "powerlaw":
        forward, pocket = power_law_pocket(quadrant), power_law_of(quadrant)
    else:
        forward = EquilibriumPocket(lambda observed: equilibrium_charge(observed, KELVIN, quadrant))
        pocket = Equilibrium(equilibrium_charge(NODES.astype(float), KELVIN, quadrant).astype(np.float32))
    light = (forward.read(charge, 0)[0] + read).astype(np.float32)
    lost = np.zeros(light.shape, bool)
    pocket.recover(light, lost, backwards=False)
    assert not lost.any()
    return light


def response(charge, model, quadrant):
    """`Seen.response`, of the pixels read as they should be."""
    if model == "equilibrium":
        seen = EquilibriumPocket(lambda one: equilibrium_charge(one, KELVIN, quadrant)).read(charge, 0)[0]
        up, down = (equilibrium_charge(seen * (1 + step), KELVIN, quadrant) for step in (1e-3, -1e-3))
        return (up - down) / (2e-3 * seen), np.zeros(charge.shape)
    pocket = power_law_pocket(quadrant)
    held, of_pixel, of_charge = np.zeros(len(charge)), np.empty(charge.shape), np.empty(charge.shape)
    for i, n in enumerate(charge.T):
        x = np.maximum(held / pocket.cmax, 1e-9)
        captured = pocket.cmax * (1 - x) ** pocket.alpha * (n / pocket.nmax) ** pocket.beta
        released = pocket.cmax * x**pocket.alpha
        by_level = pocket.beta * captured / n  # of what is captured
        by_charge = pocket.alpha * (captured / (1 - x) + released / x) / pocket.cmax  # of what leaves, net
        # The pixel seen is n + released - captured, the charge behind it what is missing.
        of_pixel[:, i] = by_level / (1 - by_level)
        of_charge[:, i] = 1 - by_charge - by_level * by_charge / (1 - by_level)
        held = np.clip(held - released + captured, 0, None)
    return of_pixel, of_charge


def unknowable(seen, radius):
    """Standard deviation of fluxes that read noise makes by way of the charge: (star,), ADU.

    A flux sums w_i (charge behind i - charge behind i - 1) with the aperture's weights w, so only where w changes does
    a charge count, and with it the pixels before it.
    """
    half, before, fine = int(radius) + 2, 24, 5
    at = np.rint(seen.x).astype(int), np.rint(seen.y).astype(int)
    span, rows = np.arange(-half - before, half + 1), np.arange(-half, half + 1)
    inside = np.zeros((len(seen.x), len(rows), len(span)))
    for dx, dy in np.ndindex(fine, fine):
        along = at[0][:, None] + span + (dx + 0.5) / fine - 0.5 - seen.x[:, None]
        across = at[1][:, None] + rows + (dy + 0.5) / fine - 0.5 - seen.y[:, None]
        inside += (along[:, None, :] ** 2 + across[:, :, None] ** 2 < radius**2) / fine**2
    place = (at[1][:, None] + rows)[:, :, None], np.clip(at[0][:, None] + span, 0, None)[:, None, :]
    of_pixel, of_charge = (one[place] for one in seen.response)
    variance, later = np.zeros(len(seen.x)), np.zeros(inside.shape[:2])
    for i in range(len(span) - 2, -1, -1):
        later = inside[:, :, i] - inside[:, :, i + 1] + of_charge[:, :, i + 1] * later
        variance += ((of_pixel[:, :, i] * later) ** 2).sum(axis=1)
    return READ_NOISE * np.sqrt(variance)


def measured(data, x, y):
    nothing = np.zeros(len(x))
    unknown = nothing.astype(np.float32)
    stars = Stars(nothing.astype(np.int64), nothing, nothing, x, y, nothing == 0, unknown, unknown, unknown)
    variance = (np.clip(data, 0, None) / GAIN + READ_NOISE**2).astype(np.float32)
    bad = np.zeros(data.shape, bool)
    return measure_stars(data, variance, bad, stars, stars.take(nothing > 0), RECIPE)


CASES = [
    ("powerlaw", 100, DEEPEST, False), ("powerlaw", 400, DEEPEST, True), ("powerlaw", 1000, DEEPEST, True),
    ("powerlaw", 100, TYPICAL, True), ("equilibrium", 100, DEEPEST, True),
]  # fmt: skip


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]}-{case[1]}-{case[2]}")
def seen(request):
    model, sky, quadrant, within = request.param
    draw = np.random.default_rng(sky)
    y, x = (
        one.ravel() + draw.uniform(-5, 5, one.size)
        for one in np.mgrid[25 : SHAPE[0] - 20 : SPACING, 25 : SHAPE[1] - 20 : SPACING]
    )
    total = 10 ** draw.uniform(2.3, 5.0, x.size)
    light = (draw_stars(SHAPE, x, y, total, FWHM) + sky).astype(float)
    charge = draw.poisson(light * GAIN) / GAIN
    read = draw.normal(0, READ_NOISE, SHAPE)
    sky_on, on = measured(read_out(charge, read, model, quadrant), x, y)
    sky_off, off = measured((charge + read).astype(np.float32), x, y)
    assert len(x) > 1000
    assert not (on.flag | off.flag).any()
    true = total[:, np.newaxis] * aperture_fractions(x, y, RADII, FWHM)
    return Seen(within, x, y, response(light, model, quadrant), total, true, on, off, sky_on, sky_off)


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
    """On average; by half a millimagnitude or a tenth of the error at most."""
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


def test_star_by_star_they_differ_by_what_read_noise_hides_of_the_charge_and_no_more(seen):
    place = np.rint(seen.y).astype(int), np.rint(seen.x).astype(int)
    skies = (seen.sky_on.level - seen.sky_off.level)[place]
    for k, radius in ((0, 3), (3, 6)):
        assert RADII[k] == radius
        sums = (seen.on.flux - seen.off.flux)[:, k] + skies * np.pi * radius**2  # the level is measured on many rows
        pull = sums / unknowable(seen, radius)
        assert abs(pull.mean()) < 4 / np.sqrt(len(pull))
        assert pull.std() == pytest.approx(1, abs=4 / np.sqrt(2 * len(pull)))


def test_every_star_is_within_half_a_millimagnitude_or_a_tenth_of_its_error(seen):
    """In the deepest pocket under the darkest sky all but one in fifty."""
    difference = np.abs(seen.on.flux - seen.off.flux)
    bright = (seen.true > 3000) & (RADII <= 6)
    bound = np.where(bright, np.maximum(0.5 * seen.true / MMAG, 0.1 * seen.off.error), 0.1 * seen.off.error)
    beyond = difference > bound
    assert beyond.mean() < 0.02
    assert not (seen.within and beyond.any())


def test_sky_is_that_without_a_pocket(seen):
    assert abs(np.mean(seen.sky_on.level - seen.sky_off.level)) < 0.05
