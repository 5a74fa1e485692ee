"""Fringes are found where they are, as strong as they are, and stars are not taken for them."""

from __future__ import annotations

import numpy as np
import pytest
import sep
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline

from tests.lib.sensor.fringed import SHAPE, fringed_cells, fringed_sky, in_cells, noisy, without_smooth
from ztf_in2p3.camera import TINY, ZTF
from ztf_in2p3.errors import BadData
from ztf_in2p3.image import MaskBit
from ztf_in2p3.recipes import FringeFitRecipe
from ztf_in2p3.sensor.fringe import CcdFringes, FringeMap, fit_fringes, remove_fringes
from ztf_in2p3.sensor.fringe_cells import Cells, sky_cells, some_sky_cells, subtract_cells
from ztf_in2p3.sensor.fringe_train import train_fringes
from ztf_in2p3.simulate.fringe import patterns
from ztf_in2p3.simulate.psf import draw_stars

RECIPE = FringeFitRecipe()


def train(n: int) -> FringeMap:
    return train_fringes([sky_cells(fringed_sky(seed)[0], RECIPE.cell) for seed in range(n)], RECIPE)


@pytest.fixture(scope="module")
def maps() -> CcdFringes:
    return CcdFringes(3, {1: train(24)})


# --- cells and back


slopes = st.floats(-1, 1)


@given(level=st.floats(-100, 100), down=slopes, across=slopes)
@settings(max_examples=20, deadline=None)
def test_a_tilted_plane_comes_back_from_its_cells(level, down, across):
    row, column = np.mgrid[:64, :48]
    plane = level + down * row + across * column
    left = plane.astype(np.float32)
    subtract_cells(left, in_cells(plane))
    # A spline is exact on a plane, but for what arrives from the end of the padding: 0.36^12 (the pole of quartic
    # splines) of a slope of up to 8 ADU a cell.  float32 of some 200 ADU is rounded some twenty times on the way.
    np.testing.assert_allclose(left, 0, atol=2 * 0.36**12 * 8 * 2 + 20 * 212 * 2.0**-24)


def test_the_spline_is_the_one_whose_means_are_those_of_the_cells():
    size, n = 8, 12
    cells = np.random.default_rng(2).normal(0, 5, (n, n))
    found = np.zeros((n * size, n * size), np.float32)
    subtract_cells(found, cells)
    # The slow way: cubic B-splines with a node in each cell's centre and some beyond the rim, where the cells go on
    # with the opposite sign of their difference; the mean of a B-spline over a cell, on 64 points a pixel.
    pad, fine = 12, 64
    padded = np.pad(cells, pad, mode="reflect", reflect_type="odd")

    def splines(points):
        """(node, point); points in cells."""
        nodes = [BSpline.basis_element(k + np.arange(-2, 3), extrapolate=False) for k in range(-pad, n + pad)]
        return np.nan_to_num(np.array([node(points) for node in nodes]))

    inside = (np.arange((n + 2 * pad) * size * fine) + 0.5) / (size * fine) - 0.5 - pad
    means = splines(inside).reshape(n + 2 * pad, n + 2 * pad, -1).mean(axis=2).T
    coefficients = np.linalg.solve(means, np.linalg.solve(means, padded).T).T
    at_pixels = splines((np.arange(n * size) + 0.5) / size - 0.5)
    # They part at the end of the padding, and of what is wrong there 0.36^12 arrives (the pole of quartic splines).
    worst = np.abs(coefficients).max() + np.abs(padded).max()
    expected = at_pixels.T @ coefficients @ at_pixels
    np.testing.assert_allclose(-found, expected, atol=(2 * 0.36**12 + 20 * 2.0**-24) * worst)


def test_a_cell_is_the_mean_of_its_sky_with_its_error():
    row, column = np.mgrid[: SHAPE[0], : SHAPE[1]]
    sky = 500 + 0.1 * row - 0.05 * column
    cells = sky_cells(noisy(sky, np.random.default_rng(5)), 8)
    pull = ((cells.mean - in_cells(sky)) / cells.error)[cells.known]
    # All but one cell in 50000 and its neighbours; a mean and a scatter of n unit Gaussians are known to 1/sqrt(n) and
    # 1/sqrt(2n).  The clipping at 3.5 takes 0.4 % of the scatter.
    assert pull.size > 0.98 * cells.mean.size
    assert abs(pull.mean()) < 4 / np.sqrt(pull.size)
    assert pull.std() == pytest.approx(1, abs=4 / np.sqrt(2 * pull.size) + 0.004)


def test_stars_and_bad_pixels_do_not_enter_the_cells():
    draw = np.random.default_rng(6)
    n = 40
    x, y = draw.uniform(0, SHAPE[1], n), draw.uniform(0, SHAPE[0], n)
    stars = draw_stars(SHAPE, x, y, 10 ** draw.uniform(3.5, 5.5, n), 2.2)
    plain, image = (noisy(500.0 + light, np.random.default_rng(7)) for light in (np.zeros(SHAPE), stars))
    image.data[:, 96:104], image.mask[:, 96:104] = 5000, MaskBit.NOISY
    found, expected = sky_cells(image, 8), sky_cells(plain, 8)
    assert not found.known[:, 12].any()
    assert found.known[:, 16].any()
    assert not found.known[(y // 8).astype(int), (x // 8).astype(int)].any()
    both = found.known & expected.known
    # What wings of stars are left in a cell is less than its own noise of 1.2 ADU almost everywhere.
    assert both.mean() > 0.4
    assert np.median(np.abs(found.mean - expected.mean)[both]) < 0.1
    assert abs(np.mean((found.mean - expected.mean)[both])) < 0.3


# --- one image


def true_map() -> FringeMap:
    """Of the first group of lines, without noise."""
    pattern = without_smooth(in_cells(patterns(1, 20, SHAPE)[0]))
    pattern /= np.sqrt(np.mean(pattern**2))
    return FringeMap(pattern[None].astype(np.float32), np.zeros(1, np.float32), np.full(pattern.shape, 9, np.uint16))


def test_amplitudes_scatter_as_their_errors_say_whatever_the_outliers():
    of, draw, pulls = true_map(), np.random.default_rng(8), []
    for amplitude in draw.uniform(-5, 10, 200):
        mean = 500 + amplitude * of.patterns[0].astype(np.float64) + draw.normal(0, 1.2, of.count.shape)
        mean[draw.random(mean.shape) < 0.03] += draw.uniform(10, 500)
        found = fit_fringes(Cells(mean.astype(np.float32), np.full(mean.shape, 1.2, np.float32)), of, RECIPE)
        pulls.append((found.amplitude[0] - amplitude) / found.error[0])
    # 200 pulls: mean and scatter are known to 1/sqrt(200) and 1/sqrt(400).
    assert abs(np.mean(pulls)) < 4 / np.sqrt(200)
    assert np.std(pulls) == pytest.approx(1, abs=4 / np.sqrt(400))


def test_of_many_cells_some_tell_the_same():
    shape = (1280, 1200)
    pattern = in_cells(patterns(1, 20, shape)[0])
    of = FringeMap(pattern[None].astype(np.float32), np.zeros(1, np.float32), np.full(pattern.shape, 9, np.uint16))
    image = noisy(500 + 6.0 * patterns(1, 20, shape)[0].astype(np.float64), np.random.default_rng(10))
    every, some = (fit_fringes(look(image, 8), of, RECIPE) for look in (sky_cells, some_sky_cells))
    assert some.n_cell < 0.3 * every.n_cell
    # Both are right within their errors, of which that of a quarter of the cells is twice as large.
    assert abs(every.amplitude[0] - 6) < 4 * every.error[0] + 0.01 * 6
    assert abs(some.amplitude[0] - every.amplitude[0]) < 4 * some.error[0]
    assert some.error[0] == pytest.approx(2 * every.error[0], rel=0.1)


def test_a_sky_without_fringes_stays_as_it_is(maps):
    image = noisy(np.full(SHAPE, 500.0), np.random.default_rng(999))
    before = image.data.copy()
    found = remove_fringes(image, maps, 1, RECIPE)
    assert (np.abs(found.amplitude) < 4 * found.error).all()
    # Patterns of rms 1, so the change is what the amplitudes are, or less: a spline through cells of white noise, which
    # the weakest pattern nearly is, has 1.21 of their rms.
    assert np.std(image.data - before) < 1.21 * np.sqrt((found.amplitude**2).sum()) + 1e-3


def test_too_little_sky_to_tell_is_bad_data(maps):
    cells = Cells(*np.full((2, 32, 30), np.nan, np.float32))
    cells.mean[0], cells.error[0] = 500, 1
    with pytest.raises(BadData, match="30 of 960 cells hold sky alone"):
        fit_fringes(cells, maps.maps[1], RECIPE)


def test_cells_must_fill_the_image():
    image = noisy(np.full((60, 64), 100.0), np.random.default_rng(1))
    with pytest.raises(ValueError, match="do not fill"):
        sky_cells(image, 8)
    with pytest.raises(ValueError, match="do not fill"):
        subtract_cells(image.data, np.zeros((9, 8)))


# --- many images


def test_what_is_left_of_the_fringes_is_the_noise_of_the_map(maps):
    left, expected, injected, noise = [], [], [], []
    for seed in range(100, 112):  # none of those that the map is made of
        image, fringes, pixel_noise = fringed_sky(seed)
        before = image.data.copy()
        found = remove_fringes(image, maps, 1, RECIPE)
        left.append(without_smooth(in_cells(fringes - (before - image.data))).std())
        expected.append(found.map_noise)
        injected.append(without_smooth(in_cells(fringes)).std())
        noise.append(pixel_noise)
    assert (np.array(left) < np.maximum(0.1 * np.array(injected), np.array(noise) / 5)).all()
    # All have the noise of one map, of 960 cells: known to 1/sqrt(2 x 960).  Neighbours share some of it, and what is
    # too weak for a map of 24 exposures is left: a tenth more or less.
    of_map = np.sqrt(np.mean(np.square(left)) / np.mean(np.square(expected)))
    assert of_map == pytest.approx(1, abs=4 / np.sqrt(2 * 960) + 0.1)


def test_no_star_moves_by_more_than_its_noise_and_a_third_of_a_millimagnitude():
    """How far an aperture's flux is from what it would be without the true fringes, beside its error.

    The error is that of the sky alone, the least that a star can have.  Up to 6 pixels no place moves by as much, so
    that none needs the 0.3 mmag, and what a star's scatter grows by, in quadrature, is less than them for any star
    known to 50 mmag.  An aperture of 12 pixels holds seven cells, whose errors are alike: there it is 20 mmag.
    """
    shape, n, draw = (512, 480), RECIPE.exposures, np.random.default_rng(12)
    of = train_fringes([fringed_cells(seed, shape)[0] for seed in range(1000, 1000 + n)], RECIPE)
    x, y = (draw.uniform(13, length - 13, 1000) for length in shape[::-1])
    moved = {3: [], 6: [], 12: []}
    for seed in range(100, 124):
        cells, fringes, noise = fringed_cells(seed, shape)
        left = fringes.astype(np.float32)
        subtract_cells(left, np.tensordot(fit_fringes(cells, of, RECIPE).amplitude, of.patterns, 1))
        rest = without_smooth(left.astype(float))  # the sky's polynomial is no fringe
        for radius, of_radius in moved.items():
            of_radius.append(sep.sum_circle(rest, x, y, radius)[0] / (noise * np.sqrt(np.pi) * radius))
    for radius, known_to in ((3, 50), (6, 50), (12, 20)):
        grows = np.sqrt(1 + np.mean(np.square(moved[radius]))) - 1
        assert grows * known_to < 0.3
    assert max(np.abs(moved[radius]).max() for radius in (3, 6)) < 1


def test_an_outlier_among_the_exposures_spoils_nothing(maps):
    skies = [sky_cells(fringed_sky(seed)[0], RECIPE.cell) for seed in range(24)]
    row, column = np.indices(skies[0].mean.shape)
    skies[3].mean[:] += 60 * np.exp(-((row - 10) ** 2 + (column - 12) ** 2) / 50)  # a ghost
    skies[7].mean[:] += np.random.default_rng(3).normal(0, 30, row.shape)  # clouds
    spoilt = train_fringes(skies, RECIPE)
    (clean,) = maps.maps.values()
    # Two exposures of 24 are lost: the first pattern differs by the noise they bring, a third of its own.
    difference = spoilt.patterns[0] - clean.patterns[0]
    assert difference.std() < clean.noise[0]
    assert np.corrcoef(spoilt.patterns[0].ravel(), clean.patterns[0].ravel())[0, 1] > 0.99


def test_noise_alone_makes_no_map():
    skies = [sky_cells(noisy(np.full(SHAPE, 500.0), np.random.default_rng(seed)), 8) for seed in range(8)]
    with pytest.raises(BadData, match="no pattern in common"):
        train_fringes(skies, RECIPE)
    with pytest.raises(BadData, match="6 exposures with sky for 3 fringe components, more than 6"):
        train_fringes(skies[:6], RECIPE)


def test_a_map_comes_back_from_its_file(maps, tmp_path):
    maps.write(tmp_path / "map.fits")
    read = CcdFringes.read(tmp_path / "map.fits", TINY)
    assert (read.ccdid, list(read.maps)) == (3, [1])
    # Stored in steps of a sixteenth of the noise of a row.
    np.testing.assert_allclose(read.maps[1].patterns, maps.maps[1].patterns, atol=0.1 * maps.maps[1].noise.max())
    np.testing.assert_array_equal(read.maps[1].count, maps.maps[1].count)
    with pytest.raises(BadData, match="camera 'ztf'"):
        CcdFringes.read(tmp_path / "map.fits", ZTF)
    (tmp_path / "no.fits").write_text("nothing")
    with pytest.raises(BadData, match="no fringe maps"):
        CcdFringes.read(tmp_path / "no.fits", TINY)
