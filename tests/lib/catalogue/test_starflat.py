"""A starflat's map, put to use."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy.interpolate import RegularGridInterpolator

from ztf_in2p3.camera import TINY, ZTF
from ztf_in2p3.errors import BadData
from ztf_in2p3.starflat.correction import StarflatMap
from ztf_in2p3.tables import STAR_TABLE, STARFLAT_MAP, schema_of

N = 3
CENTRE = 0.9


def map_of(response, colour=None, camera=TINY):
    """A table of (rcid, row, column) arrays."""
    rcid, row, column = (index.ravel() for index in np.indices(response.shape))
    rows, columns = camera.shape
    absent = ("u", "v", "map_e", "count", "component", "colour_map_e", "flag")
    values = {name: np.zeros(len(rcid)) for name in absent} | {
        "rcid": rcid, "row": row, "column": column, "x": (column + 0.5) * columns / N - 0.5,
        "y": (row + 0.5) * rows / N - 0.5, "map": response.ravel(),
        "colour_map": (np.zeros(response.shape) if colour is None else colour).ravel(),
    }  # fmt: skip
    table = pa.table({name: values[name] for name in schema_of(STARFLAT_MAP).names}).cast(schema_of(STARFLAT_MAP))
    return table.replace_schema_metadata({"camera": camera.name, "colour_centre": str(CENTRE)})


@pytest.fixture
def places():
    draw = np.random.default_rng(0)
    rcid, x, y = draw.integers(0, 64, 500), draw.uniform(-0.5, 239.5, 500), draw.uniform(-0.5, 255.5, 500)
    return rcid, x, y, draw.normal(1, 0.3, 500)


def test_a_map_that_is_linear_on_each_quadrant_is_followed_to_its_edges(places):
    draw = np.random.default_rng(1)
    a, b, c = draw.normal(0, 0.02, (3, 64))
    row, column = np.indices((N, N))
    at_x, at_y = (column + 0.5) * 240 / N - 0.5, (row + 0.5) * 256 / N - 0.5
    response = a[:, None, None] + b[:, None, None] * at_x / 240 + c[:, None, None] * at_y / 256
    rcid, x, y, colour = places
    found = StarflatMap.of_table(map_of(response), TINY).correction(rcid, x, y, colour)
    np.testing.assert_allclose(found, a[rcid] + b[rcid] * x / 240 + c[rcid] * y / 256, atol=1e-12)


def test_between_centres_it_is_bilinear_and_colour_counts_from_the_samples_mean(places):
    draw = np.random.default_rng(2)
    response, slope = draw.normal(0, 0.02, (2, 64, N, N))
    rcid, x, y, colour = places
    found = StarflatMap.of_table(map_of(response, slope), TINY).correction(rcid, x, y, colour)
    grid = (np.arange(N) + 0.5) * 256 / N - 0.5, (np.arange(N) + 0.5) * 240 / N - 0.5
    expected = [
        RegularGridInterpolator(grid, response[q], bounds_error=False, fill_value=None)((v, u))
        + (c - CENTRE) * RegularGridInterpolator(grid, slope[q], bounds_error=False, fill_value=None)((v, u))
        for q, u, v, c in zip(rcid, x, y, colour, strict=True)
    ]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_star_of_unknown_colour_is_taken_as_an_average_one(places):
    response = np.random.default_rng(3).normal(0, 0.02, (64, N, N))
    whole = StarflatMap.of_table(map_of(response, np.full_like(response, 0.5)), TINY)
    rcid, x, y, _ = places
    np.testing.assert_array_equal(
        whole.correction(rcid, x, y, np.full(500, np.nan)), whole.correction(rcid, x, y, np.full(500, CENTRE))
    )


def test_nothing_is_made_up_where_no_star_was(places):
    response = np.zeros((64, N, N))
    response[5, 0, 0] = np.nan
    found = StarflatMap.of_table(map_of(response), TINY).correction(5, [10.0, 100.0, 200.0], [10.0, 100.0, 200.0], 1.0)
    # The second place lies in the next superpixel, which the bad one touches but does not spoil.
    np.testing.assert_array_equal(np.isnan(found), [True, False, False])


def test_rows_may_come_in_any_order(places):
    table = map_of(np.random.default_rng(4).normal(0, 0.02, (64, N, N)))
    mixed = table.take(np.random.default_rng(5).permutation(table.num_rows)).replace_schema_metadata(
        table.schema.metadata
    )
    one, other = (StarflatMap.of_table(some, TINY).correction(*places) for some in (table, mixed))
    np.testing.assert_array_equal(one, other)


def test_a_star_table_is_corrected_in_its_magnitudes_alone(places):
    rcid, x, y, colour = places
    schema = schema_of(STAR_TABLE)
    values = {name: np.zeros(500) for name in schema.names}
    values |= {"rcid": rcid, "x": x, "y": y, "colour": colour, "mag": np.full(500, -10.0)}
    table = pa.table(values).cast(schema)
    whole = StarflatMap.of_table(map_of(np.full((64, N, N), 0.02)), TINY)
    after = whole.corrected(table)
    assert after.drop_columns("mag").equals(table.drop_columns("mag"))
    assert after.schema.equals(schema)
    np.testing.assert_allclose(after["mag"].to_numpy(), -10.02, atol=1e-12)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (map_of(np.zeros((64, N, N)), camera=ZTF), "camera 'ztf'; expected one of 'tiny'"),
        (map_of(np.zeros((64, N, N))).slice(1), "superpixels"),
        (map_of(np.zeros((60, N, N))), "60 quadrants|60, 3, 3"),
    ],
    ids=["another camera", "a superpixel is missing", "quadrants are missing"],
)
def test_a_map_that_does_not_fit_is_refused(table, message):
    with pytest.raises(BadData, match=message):
        StarflatMap.of_table(table, TINY)
