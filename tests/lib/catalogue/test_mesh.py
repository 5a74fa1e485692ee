"""Clipped means of the cells of a mesh against slow ones, and what is interpolated between them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ztf_in2p3.catalogue.mesh import Mesh, cell_statistics, clipped_mean
from ztf_in2p3.errors import BadData

NOTHING = np.zeros((64, 64), dtype=bool)


def slow_clipped_mean(pixels, centre=None, sigma=None):
    """Clip at 3 standard deviations of a Gaussian cut there until nothing moves; from there, or from all pixels."""
    kept = pixels if centre is None else pixels[np.abs(pixels - centre) <= 3 * sigma]
    for _ in range(50):
        centre, sigma = kept.mean(dtype=float), kept.std(dtype=float) / 0.98658
        kept = pixels[np.abs(pixels - centre) <= 3 * sigma]
    return centre, sigma, len(kept)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-1e4, 1e4), st.floats(1e-2, 1e3), st.floats(0, 0.7))
def test_cells_are_those_of_a_slow_loop(seed, level, noise, hidden):
    rng = np.random.default_rng(seed)
    data = rng.normal(level, noise, (70, 66)).astype(np.float32)
    ignored = rng.random(data.shape) < hidden
    data[rng.random(data.shape) < 0.01] += np.float32(20 * noise)
    data[rng.random(data.shape) < 0.01] = np.nan
    cells = cell_statistics(data, ignored, 35)
    assert cells.mean.shape == (2, 2)
    for j, rows in enumerate((slice(0, 35), slice(35, 70))):
        for i, columns in enumerate((slice(0, 33), slice(33, 66))):
            pixels = data[rows, columns][~ignored[rows, columns]]
            pixels = pixels[np.isfinite(pixels)]
            ours = cells.mean[j, i], cells.std[j, i]
            # A pixel at 3 sigma that comes or goes moves the mean by 3 sigma / n and the width by (3^2 - 1) / 2n of it,
            # whereupon a tenth of a pixel follows: the clipping has several ends, a few pixels apart (more than 5 of
            # them from another start once in 10^4 cells, more than 2 from where it stopped).
            for start, moved in (ours, 6), ((None, None), 12):
                mean, std, count = slow_clipped_mean(pixels, *start)
                assert abs(cells.count[j, i] - count) <= moved
                assert ours[0] == pytest.approx(mean, abs=(1e-3 + moved * 3 / len(pixels)) * noise)
                assert ours[1] == pytest.approx(std, abs=(2e-3 + moved * 5 / len(pixels)) * noise)


def test_a_cell_of_equal_pixels_has_no_noise():
    cells = cell_statistics(np.full((64, 64), 7.25), NOTHING, 32)
    np.testing.assert_array_equal(cells.mean, 7.25)
    np.testing.assert_array_equal(cells.std, 0)
    np.testing.assert_array_equal(cells.count, 32 * 32)


def test_a_quarter_of_outliers_does_not_move_a_cell():
    rng = np.random.default_rng(1)
    data = rng.normal(100, 5, (64, 64))
    data[:, ::4] = 1e5
    mean, std = clipped_mean(data, NOTHING)
    assert mean == pytest.approx(100, abs=4 * 5 / np.sqrt(0.75 * data.size))
    assert std == pytest.approx(5, rel=4 / np.sqrt(2 * 0.75 * data.size))


def test_a_plane_without_noise_has_a_level():
    plane = np.add.outer(np.arange(64.0), np.zeros(64))
    cells = cell_statistics(plane, NOTHING, 8)
    mesh = cells.mesh(cells.mean, cells.count > 0, cubic=True)
    np.testing.assert_allclose(mesh.plane(), plane, atol=0.05)
    # The same sums in float32, added in the order that suits the processor.
    np.testing.assert_allclose(mesh.plane(thin=3), mesh.plane()[::3], rtol=1e-6, atol=4e-5)


def test_a_level_is_found_from_the_last_pixel_left():
    plane, ignored = np.full((64, 64), 3.0), np.ones((64, 64), dtype=bool)
    ignored[1, 2] = False  # between the rows that a thinned look sees
    cells = cell_statistics(plane, ignored, 16, thin=4)
    np.testing.assert_allclose(cells.mesh(cells.mean, cells.count > 0, cubic=True).plane(), 3.0, rtol=1e-6)
    ignored[1, 2] = True
    with pytest.raises(BadData, match="none of the 4096 pixels is usable"):
        cell_statistics(plane, ignored, 16, thin=4)


def test_thinned_cells_are_those_of_the_thinned_image():
    data = np.random.default_rng(2).normal(0, 1, (64, 64))
    thinned, whole = cell_statistics(data, NOTHING, 16, thin=4), cell_statistics(data[::4, ::4], NOTHING[::4, ::4], 4)
    np.testing.assert_array_equal(thinned.mean, whole.mean)


def test_a_mesh_is_the_same_at_a_star_and_in_the_plane():
    rng = np.random.default_rng(3)
    x, y = rng.uniform(-0.5, 49.49, 200), rng.uniform(-0.5, 69.49, 200)
    for cubic in (True, False):
        mesh = Mesh(rng.normal(100, 3, (7, 5)), (70, 50), cubic)
        expected = mesh.plane()[np.clip(np.rint(y).astype(int), 0, 69), np.clip(np.rint(x).astype(int), 0, 49)]
        np.testing.assert_allclose(mesh.at(x, y), expected, rtol=1e-5)


def test_straight_lines_never_undershoot():
    cells = np.full((6, 6), 1.0)
    cells[2, 3] = 1000.0
    assert Mesh(cells, (60, 60), cubic=False).plane().min() >= 1 - 1e-6
    assert Mesh(cells, (60, 60), cubic=True).plane().min() < 0
