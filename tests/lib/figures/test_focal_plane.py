"""Pixels keep their place and their level on the way into a picture of the focal plane."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztf_in2p3.camera import TINY, ZTF, Camera
from ztf_in2p3.figures.detrended import block_mean
from ztf_in2p3.figures.focal_plane import Panel, ccd_outline, plot_mosaic, plot_quadrant_maps, quadrant_outline
from ztf_in2p3.figures.mosaic import CELLS, block_median, shrink_ccds
from ztf_in2p3.figures.style import around, robust_limits
from ztf_in2p3.identifiers import N_CCD, Quadrant


@given(
    rows=st.integers(1, 23), columns=st.integers(1, 23), block=st.integers(1, 9), seed=st.integers(0, 99),
    holes=st.sampled_from([0.0, 0.2, 0.9]),
)  # fmt: skip
def test_block_medians_and_means_are_those_of_a_slow_loop(rows, columns, block, seed, holes):
    draw = np.random.default_rng(seed)
    pixels = draw.normal(size=(rows, columns)).astype(np.float32)
    pixels[draw.uniform(size=pixels.shape) < holes] = np.nan
    found, means = block_median(pixels, block), block_mean(pixels, block)
    n_row, n_column = max(1, round(rows / block)), max(1, round(columns / block))
    assert found.shape == (n_row, n_column)
    for (i, j), value in np.ndenumerate(found):
        bottom, right = (None if i + 1 == n_row else (i + 1) * block), (None if j + 1 == n_column else (j + 1) * block)
        part = pixels[i * block : bottom, j * block : right]
        finite = part[np.isfinite(part)]
        if finite.size:
            assert value == np.median(finite)
            assert means[i, j] == pytest.approx(np.mean(finite, dtype=np.float64), abs=1e-6)
        else:
            assert np.isnan(value)
            assert np.isnan(means[i, j])


def test_each_quadrant_is_where_it_is_on_the_sky():
    planes = {qid: np.full(TINY.shape, float(qid), np.float32) for qid in (1, 2, 3, 4)}
    planes[1][0, 0] = 1e6  # one hot pixel does not move a median
    image = shrink_ccds([(7, planes)], TINY)[7]
    rows, columns = image.shape
    south_west, south_east, north_west, north_east = image[0, 0], image[0, -1], image[-1, 0], image[-1, -1]
    assert (north_west, north_east, south_west, south_east) == (2.0, 1.0, 3.0, 4.0)
    assert abs(max(rows, columns) - CELLS) < CELLS / 2


def test_pixels_are_drawn_where_the_focal_plane_has_them():
    """A spot on a quadrant lies, in the picture, at the u and v of its pixel; the map of a quadrant's cells too."""
    shape = 64, 60
    camera = Camera("test", shape, 30, (8, 8), 3.6, 6.0, 9.0, 5e4)
    for quadrant in (Quadrant(2, 3), Quadrant(7, 1), Quadrant(12, 2), Quadrant(13, 4)):
        plane = np.zeros(shape, np.float32)
        plane[5, 50] = 1
        u, v = camera.focal_plane(quadrant, 50, 5)
        images = shrink_ccds([(quadrant.ccdid, {quadrant.qid: plane})], camera, cells=128)
        cells = np.array([[0.0, 1.0], [0.0, 0.0]])  # the spot is in the first row and second column of four
        for figure, reach in (
            (plot_mosaic(camera, [Panel(images, "", "")]), 1),
            (plot_quadrant_maps(camera, [Panel({quadrant.rcid: cells}, "", "")]), 32),
        ):
            drawn = figure.axes[0].images[0]
            west, east, south, north = drawn.get_extent()
            row, column = np.argwhere(drawn.get_array() == 1)[0]
            n_row, n_column = drawn.get_array().shape
            assert drawn.origin == "lower"
            assert west + (column + 0.5) / n_column * (east - west) == pytest.approx(u * 1e-3, abs=reach * 1e-3)
            assert south + (row + 0.5) / n_row * (north - south) == pytest.approx(v * 1e-3, abs=reach * 1e-3)


@pytest.mark.parametrize("camera", [TINY, ZTF])
def test_outlines_leave_the_gaps_free(camera):
    for ccdid in range(1, N_CCD + 1):
        ccd = ccd_outline(camera, ccdid)
        assert (ccd.east - ccd.west) * 3600 == pytest.approx(2 * camera.shape[1] * camera.pixel_scale)
        assert (ccd.north - ccd.south) * 3600 == pytest.approx(2 * camera.shape[0] * camera.pixel_scale)
    # CCD 1 is the south-eastern corner, CCD 2 west of it, CCD 5 north.
    one, two, five = (ccd_outline(camera, ccdid) for ccdid in (1, 2, 5))
    assert (one.west - two.east) * 3600 == pytest.approx(camera.gap[1] * camera.pixel_scale)
    assert (five.south - one.north) * 3600 == pytest.approx(camera.gap[0] * camera.pixel_scale)
    assert quadrant_outline(camera, Quadrant(1, 4)).east == one.east
    assert quadrant_outline(camera, Quadrant(1, 4)).south == one.south


def test_one_ccd_is_in_memory_at_a_time():
    camera = Camera("test", (512, 480), 30, (8, 8), 1.0, 6.0, 9.0, 5e4)
    ccd_bytes = 4 * 512 * 480 * 4
    tracemalloc.start()
    shrink_ccds(
        ((ccdid, {qid: np.ones(camera.shape, np.float32) for qid in (1, 2, 3, 4)}) for ccdid in range(1, 17)), camera
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # One CCD, another while it is being replaced, and 16 small images of a quarter of a million bytes at most.
    assert peak < 2 * ccd_bytes + 16 * (2 * CELLS) ** 2 * 4


def test_colours_are_not_spent_on_outliers():
    values = np.random.default_rng(0).normal(5, 1, 10_000)
    values[:20] = 1e6
    values[20:30] = np.nan
    low, high = robust_limits(values)
    assert 0 < low < 2
    assert 8 < high < 10
    centred = around(5.0, values)
    assert centred.vmax - 5.0 == pytest.approx(5.0 - centred.vmin)


@pytest.mark.parametrize("values", [[], [np.nan], [3.0], [0.0, 0.0], [7.0] * 9 + [8.0]])
def test_a_colour_scale_is_never_empty(values):
    low, high = robust_limits(values)
    assert low < high
