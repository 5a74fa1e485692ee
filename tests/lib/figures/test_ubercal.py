"""Pictures of a survey show the numbers they are given, and say so where there are none."""

import numpy as np
import pyarrow as pa
import pytest
from astropy import units
from astropy_healpix import HEALPix

from ztf_in2p3.camera import TINY
from ztf_in2p3.figures import ubercal as figures
from ztf_in2p3.figures.style import png
from ztf_in2p3.tables import schema_of
from ztf_in2p3.ubercal.tables import FOCAL_PLANE, MEAN_STARS, REPEATABILITY, SKY, ZERO_POINTS

RNG = np.random.default_rng(5)


def table_of(columns, n, **values):
    """Zeros, but for what is given."""
    schema = schema_of(columns)
    arrays = [np.asarray(values.get(name, np.zeros(n))) for name in schema.names]
    typed = [pa.array(a).cast(field.type) for a, field in zip(arrays, schema, strict=True)]
    return pa.table(typed, schema=schema)


def words(figure):
    return " ".join(text.get_text() for axes in figure.axes for text in axes.texts)


def sky_table(n, **values):
    return table_of(SKY, n, **values).replace_schema_metadata({"order": "6"})


EMPTY = {
    "zero points": lambda: figures.plot_zero_points(table_of(ZERO_POINTS, 0), title="zr"),
    "repeatability": lambda: figures.plot_repeatability(table_of(REPEATABILITY, 0), title="zr"),
    "sky": lambda: figures.plot_sky(sky_table(0), title="zr"),
    "external": lambda: figures.plot_external(table_of(MEAN_STARS, 0), {}, title="zr"),
}


@pytest.mark.parametrize("draw", EMPTY.values(), ids=EMPTY)
def test_a_picture_of_nothing_says_so(draw):
    figure = draw()
    assert words(figure)
    assert png(figure)


def test_zero_points_are_shown_by_exposure_in_millimagnitudes():
    value = np.repeat([0.010, -0.020, 0.5], 4) + np.tile([-1e-3, -1e-4, 1e-4, 1e-3], 3)
    table = table_of(
        ZERO_POINTS, 12, exposure=np.repeat([1, 2, 3], 4), rcid=np.tile(range(4), 3), zero_point=value,
        mjd=np.repeat([58000.1, 58001.2, 58002.3], 4), photometric=np.repeat([True, True, False], 4),
        sigma=np.full(12, 1e-3),
    )  # fmt: skip
    level = figures.plot_zero_points(table, title="zr").axes[0]
    points = [line.get_xydata() for line in level.lines if len(line.get_xydata())]
    np.testing.assert_allclose(points[0], [[58000.1, 10], [58001.2, -20]], atol=1e-6)
    np.testing.assert_allclose(points[1], [[58002.3, 500]], atol=1e-6)
    assert [text.get_text() for text in level.get_legend().get_texts()] == ["photometric (2)", "not photometric (1)"]


def test_the_response_left_over_is_where_its_quadrant_is():
    rcid, row, column = (k.ravel() for k in np.indices((64, 2, 2)))
    values = {name: RNG.normal(0, 1e-3, 256) for name in ("residual", "external")}
    table = table_of(
        FOCAL_PLANE, 256, rcid=rcid, row=row, column=column, residual_e=np.full(256, 1e-3), count=np.ones(256), **values
    )
    axes = figures.plot_residual_map(table, TINY).axes
    shown = [np.sort(np.concatenate([np.ravel(image.get_array()) for image in one.get_images()])) for one in axes[:2]]
    for found, name in zip(shown, ("residual", "external"), strict=True):
        np.testing.assert_allclose(found, np.sort(1e3 * values[name]), rtol=1e-5)


def test_stars_are_compared_without_their_component_s_level():
    n = 400
    component = RNG.integers(0, 2, n)
    difference = RNG.normal(0, 0.01, n)
    external = RNG.uniform(14, 18, n)
    mag = external + difference + np.array([3.0, -7.0])[component]
    table = table_of(
        MEAN_STARS, n, component=component, external=external, mag=mag,
        count=np.full(n, 5), variable=np.arange(n) % 50 == 0, colour=RNG.uniform(0, 2, n),
    )  # fmt: skip
    figure = figures.plot_external(table, {0: 3.0, 1: -7.0}, title="zr")
    cloud = figure.axes[0].lines[0].get_xydata()
    good = np.arange(n) % 50 != 0
    np.testing.assert_allclose(np.sort(cloud[:, 1]), np.sort(1e3 * difference[good]), atol=1e-6)
    assert f"{good.sum()} stars" in figure.axes[2].get_title()


def test_a_sky_through_right_ascension_zero_is_in_one_piece():
    places = [359.0, 0.5, 1.5], [1.0, 2.0, 3.0]
    grid = HEALPix(2**6, order="nested")
    pixel = grid.lonlat_to_healpix(*(np.array(one) * units.deg for one in places))
    ra, dec = (angle.deg for angle in grid.healpix_to_lonlat(pixel))
    table = sky_table(3, pixel=pixel, ra=ra, dec=dec, measurements=np.array([3.0, 4.0, 5.0]),
                      external=np.full(3, np.nan))  # fmt: skip
    figure = figures.plot_sky(table, title="zr")
    cells = [path.vertices[:4] for path in figure.axes[0].collections[0].get_paths()]
    # A cell is as wide as high, sqrt(2) times 0.92 degrees; all are within a few degrees of zero.
    assert all(np.abs(cell[:, 0]).max() < 3 and np.ptp(cell[:, 0]) < 1.5 for cell in cells)
    np.testing.assert_allclose([cell[:, 1].mean() for cell in cells], dec, atol=0.01)
