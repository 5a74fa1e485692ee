"""A starflat as a product: it corrects a catalogue, and says where each of its numbers belongs."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from ztf_in2p3.camera import TINY, ZTF
from ztf_in2p3.fit.solver import Progress
from ztf_in2p3.fit.superpixels import Superpixels
from ztf_in2p3.recipes import RobustRecipe, StarflatRecipe
from ztf_in2p3.simulate.measurements import Effects, dithered_sequence, star_measurements
from ztf_in2p3.starflat.model import fit_starflat, starflat_model

RECIPE = StarflatRecipe(superpixels=3)


@pytest.fixture(scope="module")
def sequence():
    return star_measurements(TINY, dithered_sequence(30, TINY), 2500, Effects(map_cells=3, map=0.05), seed=2)


@pytest.fixture(scope="module")
def starflat(sequence):
    return fit_starflat(sequence[0], TINY, RECIPE)


def test_correcting_a_catalogue_takes_the_pattern_of_the_camera_out(sequence, starflat):
    table, truth = sequence
    t = {name: table[name].to_numpy() for name in table.column_names}
    star = (t["star_id"] - 4_000_000_000) // 7
    constant = ~truth.variable[star] & ~truth.outlier
    at = np.searchsorted(np.unique(t["exposure"]), t["exposure"])
    off = t["mag"] - truth.star_mag[star] - truth.zero_point[at] - truth.airmass_coefficient * (t["airmass"] - 1)

    corrected = off - starflat.correction(t["rcid"], t["x"], t["y"], t["colour"])

    def scatter_of_quadrants(values):
        good = constant & np.isfinite(values)
        n = np.bincount(t["rcid"][good], minlength=64)
        means = np.bincount(t["rcid"][good], values[good], 64) / n
        u, v = Superpixels(TINY, 1).centres()
        shapes = np.column_stack([np.ones(64), u, v])  # the plane is not the starflat's to know
        return np.std(means - shapes @ np.linalg.lstsq(shapes, means, rcond=None)[0])

    # 100 measurements a quadrant of 6 to 17 mmag, and the errors of nine cells of as many.
    assert scatter_of_quadrants(off) > 0.03
    assert scatter_of_quadrants(corrected) < 0.002


def test_a_map_has_the_shape_of_the_camera(starflat):
    assert starflat.map.shape == starflat.map_sigma.shape == (64, 3, 3)
    assert starflat.colour_map.shape == (64, 2, 2)
    assert np.isfinite(starflat.map_sigma[np.isfinite(starflat.map)]).all()


def test_a_table_with_focal_plane_positions_serves_as_well(sequence, starflat):
    table, _ = sequence
    rcid, x, y = (table[name].to_numpy() for name in ("rcid", "x", "y"))
    uv = np.array([TINY.focal_plane(TINY.quadrants[r], *xy) for r, *xy in zip(rcid, x, y, strict=True)])
    there = table.drop_columns(["x", "y"]).append_column("u", pa.array(uv[:, 0])).append_column("v", pa.array(uv[:, 1]))
    again = fit_starflat(there, TINY, dataclasses.replace(RECIPE, robust=RobustRecipe(draws=0)))
    np.testing.assert_allclose(again.map, starflat.map, atol=1e-5)


@pytest.mark.parametrize("camera", [TINY, ZTF])
def test_a_superpixel_holds_the_pixels_around_its_centre(camera):
    cells = Superpixels(camera, 15)
    u, v = cells.centres()
    for rcid in (0, 17, 63):
        span = slice(rcid * 225, rcid * 225 + 225)
        x, y = camera.pixel(camera.quadrants[rcid], u[span], v[span])
        np.testing.assert_array_equal(cells.index(np.full(225, rcid), x, y), np.arange(rcid * 225, rcid * 225 + 225))
    rows, columns = camera.shape
    corners = cells.index(5, [0, columns - 1, 0, columns - 1], [0, 0, rows - 1, rows - 1])
    np.testing.assert_array_equal(corners - 5 * 225, [0, 14, 210, 224])


@pytest.mark.parametrize(("n", "itemsize"), [(31, 2), (32, 4)])
def test_rows_name_their_parameters_in_as_few_bytes_as_can_count_them(sequence, n, itemsize):
    table = sequence[0]  # 64 quadrants x 31 x 31 cells and the zero points are 61 534 parameters, with 32 x 32 65 566
    model, _, _ = starflat_model(table, TINY, StarflatRecipe(superpixels=n, model="zp"))
    rcid, x, y, exposure = (table[name].to_numpy() for name in ("rcid", "x", "y", "exposure"))
    rows, columns = TINY.shape
    for part in model.parts:
        assert part.index.itemsize == itemsize
        at = part.origin_of(np.arange(len(part.y)))
        zero_point, cell = part.index.T.astype(int)
        np.testing.assert_array_equal(np.unique(exposure)[zero_point], exposure[at])
        quadrant, row, column = np.unravel_index(cell - 30, (64, n, n))
        np.testing.assert_array_equal(quadrant, rcid[at])
        assert np.all(np.abs((row + 0.5) * rows / n - 0.5 - y[at]) < 0.501 * rows / n)
        assert np.all(np.abs((column + 0.5) * columns / n - 0.5 - x[at]) < 0.501 * columns / n)


def test_progress_is_told_at_every_iteration(sequence):
    told: list[Progress] = []
    recipe = dataclasses.replace(RECIPE, robust=RobustRecipe(draws=0, method="iterative", clip=np.inf))
    fit = fit_starflat(sequence[0], TINY, recipe, progress=told.append).fit
    assert [one.iteration for one in told[-fit.iterations :]] == list(range(1, fit.iterations + 1))
    assert told[-1].residual < 1e-8
    assert told[-1].change < 1e-6


def test_stars_come_as_a_table_with_units(starflat):
    table = starflat.fit.stars.to_table()
    assert table.schema.field("mag").metadata[b"unit"] == b"mag"
    assert table.num_rows == len(starflat.fit.stars.star_id)
    assert np.all(np.diff(table["star_id"].to_numpy()) > 0)


def test_an_unknown_model_is_refused(sequence):
    with pytest.raises(ValueError, match="simple, zp, color, full"):
        fit_starflat(sequence[0], TINY, StarflatRecipe(model="fuller"))
    with pytest.raises(ValueError, match="auto, direct, iterative"):
        fit_starflat(sequence[0], TINY, StarflatRecipe(robust=RobustRecipe(method="magic")))
