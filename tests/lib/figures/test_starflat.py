"""Pictures of a starflat show the numbers they are given."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from ztf_in2p3.camera import TINY
from ztf_in2p3.figures.pictures import Picture
from ztf_in2p3.figures.starflat import (
    plot_chi2,
    plot_comparison,
    plot_gains,
    plot_map,
    plot_quadrants,
    quadrant_means,
)
from ztf_in2p3.figures.starflat_plots import freedom, plot_residuals_against
from ztf_in2p3.figures.starflat_truth import Compared, without
from ztf_in2p3.figures.style import png
from ztf_in2p3.figures.summary_page import render_summary_page
from ztf_in2p3.tables import PARAMETERS, STARFLAT_MAP, STARFLAT_RESIDUALS, schema_of


def table_of(columns, **values):
    """Zeros where nothing is given."""
    n = len(next(iter(values.values())))
    schema = schema_of(columns)
    return pa.table({name: values.get(name, np.zeros(n)) for name in schema.names}).cast(schema)


def map_of(seed=0, n=2):
    draw = np.random.default_rng(seed)
    rcid, row, column = (index.ravel() for index in np.indices((64, n, n)))
    value, sigma = draw.normal(0, 0.01, len(rcid)), draw.uniform(0.001, 0.003, len(rcid))
    value[rcid < 8] = np.nan
    return table_of(STARFLAT_MAP, rcid=rcid, row=row, column=column, map=value, map_e=sigma)


def residuals(n=400, seed=1):
    draw = np.random.default_rng(seed)
    star = np.sort(draw.integers(0, 1 + n // 8, n))
    sigma = draw.uniform(0.002, 0.02, n)
    return table_of(
        STARFLAT_RESIDUALS, star_id=star, rcid=draw.integers(0, 64, n), x=draw.uniform(0, 239, n),
        y=draw.uniform(0, 255, n), u=draw.uniform(-900, 900, n), v=draw.uniform(-900, 900, n),
        mjd=58578.2 + draw.random(n) / 20, colour=draw.normal(1, 0.3, n), mag=draw.uniform(-13, -8, n),
        residual=sigma * draw.normal(0, 1, n), sigma=sigma, rejected=draw.random(n) < 0.02,
        left_out=draw.random(n) < 0.02,
    )  # fmt: skip


def ink(figure):
    """Pixels that are not white."""
    return int((np.asarray(Image.open(io.BytesIO(png(figure))).convert("L")) < 250).sum())


@pytest.mark.parametrize(
    "plot",
    [
        lambda: plot_map(TINY, map_of()),
        lambda: plot_quadrants(TINY, map_of()),
        lambda: plot_residuals_against(residuals(), TINY),
        lambda: plot_chi2(TINY, residuals(), 15).figure,
        lambda: plot_comparison(TINY, {"2018": map_of(0), "2019": map_of(1)}),
        lambda: plot_gains(
            TINY, table_of(PARAMETERS, family=["gain"] * 64, rcid=np.arange(64), value=np.arange(64) / 1e4,
                           sigma=np.full(64, 1e-3), unit=["mag"] * 64),
        ),
    ],
    ids=["map", "quadrants", "residuals", "chi2", "comparison", "gains"],
)  # fmt: skip
def test_each_figure_is_drawn(plot):
    assert ink(plot()) > 10_000


def test_no_measurement_at_all_is_said():
    empty = residuals(8).slice(0, 0)
    assert ink(plot_residuals_against(empty, TINY)) > 1000


def test_the_mean_of_a_quadrant_is_weighted_and_unknown_without_stars():
    table = map_of()
    mean, error = quadrant_means(table)
    frame = table.to_pandas()
    for rcid in (8, 30, 63):
        of = frame[frame.rcid == rcid]
        weight = of.map_e**-2
        assert mean[rcid] == pytest.approx(1e3 * (weight * of["map"]).sum() / weight.sum())
        assert error[rcid] == pytest.approx(1e3 / np.sqrt(weight.sum()))
    assert np.isnan(mean[:8]).all()


def test_a_residual_keeps_the_part_of_its_variance_that_its_star_leaves():
    """Stars drawn anew again and again: the residual's variance over the measurement's, beside `freedom`."""
    draw = np.random.default_rng(3)
    n_trial, sigma = 40_000, np.array([1.0, 2.0, 3.0, 1.5])
    noise = sigma * draw.normal(0, 1, (n_trial, 4))
    weight = sigma**-2 * np.array([1, 1, 0, 1])  # the third was rejected
    left = noise - (noise @ weight / weight.sum())[:, None]
    table = residuals(4)
    table = table.set_column(table.column_names.index("star_id"), "star_id", pa.array([7, 7, 7, 7]))
    table = table.set_column(table.column_names.index("sigma"), "sigma", pa.array(sigma))
    table = table.set_column(table.column_names.index("rejected"), "rejected", pa.array([False, False, True, False]))
    expected = (left.var(axis=0) / sigma**2)[[0, 1, 3]]
    # A variance of 40 000 draws is good to 0.7 %.
    np.testing.assert_allclose(freedom(table)[[0, 1, 3]], expected, rtol=0.03)


def test_what_a_fit_cannot_know_is_taken_out_of_both_sides():
    draw = np.random.default_rng(4)
    n = 2000
    place, sigma = draw.uniform(-1, 1, (n, 2)), draw.uniform(0.5, 2, n)
    shapes = np.column_stack([np.ones(n), place])
    true = draw.normal(0, 3, n)
    fitted = true + shapes @ [5.0, -40.0, 20.0] + sigma * draw.normal(0, 1, n)
    compared = without(shapes, fitted, true, sigma)
    assert compared.freedom == n - 3
    assert compared.pull_scatter == pytest.approx(1, abs=4 / np.sqrt(2 * n))
    assert f"{n} parameters" in compared.told()


def test_nothing_to_compare_is_no_number():
    nothing = Compared(np.zeros(2), np.zeros(2), np.ones(2), -1)
    assert np.isnan(nothing.pull_scatter)


def test_a_page_for_an_artifact_stays_small():
    pictures = [Picture(str(k), f"Picture {k}", "words", bytes(3000)) for k in range(5)]
    page = render_summary_page("Title", {"chi2": "1.00"}, pictures, limit=10_000)
    assert len(page) < 10_500
    assert page.count("data:image/png") == 2
    assert page.count("Not shown here") == 3
    assert "| chi2 | 1.00 |" in page
    assert "| Quantity" not in render_summary_page("Title", {}, [])
