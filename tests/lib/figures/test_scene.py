"""Pictures of a light curve show what they are given, and do not fall over what is missing."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from ztf_in2p3.figures.scene import (
    ScenePixels,
    best_and_worst,
    pixel_pulls,
    plot_curve_stars,
    plot_light_curve,
    plot_scene,
)
from ztf_in2p3.figures.style import png
from ztf_in2p3.tables import CURVE_STARS, LIGHT_CURVE, schema_of

N, SIDE = 6, 9
NOISE, GAIN, SKY = 5.0, 4.0, 100.0


def curve(measured: int = 4) -> pa.Table:
    """The first rows quiet, the others measured; one more that was not used."""
    flux = [None] * (N - measured) + [10.0 * (k + 1) for k in range(measured)]
    rows = [
        {
            "exposure": f"e{k}", "band": "zr", "mjd": 58000.0 + k, "flux": flux[k],
            "flux_e": None if flux[k] is None else 5.0, "zero_point": 30.0, "throughput": 1.0, "throughput_e": 0.001,
            "slope": 0.1, "slope_e": 0.2, "sky": SKY, "noise": NOISE, "gain": GAIN, "chi2": 81.0 + k, "n_pixel": 81,
            "reason": "",
        }
        for k in range(N)
    ]  # fmt: skip
    rows.append({"exposure": "out", "band": "zr", "mjd": 58010.0, "zero_point": 30.0, "reason": "seeing"})
    return pa.Table.from_pylist(rows, schema=schema_of(LIGHT_CURVE))


def pixels(galaxy: bool = True) -> ScenePixels:
    """A model of 36 ADU over its border, data off by a known number of standard deviations."""
    light = np.pad(np.full((N, SIDE - 2, SIDE - 2), 36.0), ((0, 0), (1, 1), (1, 1)))
    model = SKY - 15 + light  # a level of the galaxy's that the sky makes up for
    sigma = np.sqrt(NOISE**2 + light / GAIN)
    data = model + sigma * np.arange(N)[:, None, None]
    rejected = np.zeros(model.shape, np.uint8)
    rejected[0, 0, 0] = 2
    return ScenePixels(data, model, rejected, np.ones((13, 13)) if galaxy else None, 1.0, 1.0)


def used(table: pa.Table) -> pa.Table:
    return table.slice(0, N)


def test_pulls_count_the_noise_of_the_sky_and_the_photons_of_the_model():
    pull = pixel_pulls(used(curve()), pixels())
    assert np.isnan(pull[0, 0, 0])
    np.testing.assert_allclose(pull[:, 4, 4], np.arange(N), atol=1e-9)


@pytest.mark.parametrize(("measured", "expected"), [(4, (5, 4)), (1, (5, 4)), (0, (0, 5))])
def test_the_exposures_shown_are_the_one_that_tells_most_and_the_worst_of_the_others(measured, expected):
    assert best_and_worst(used(curve(measured))) == expected


@pytest.mark.parametrize(("measured", "truth"), [(0, None), (4, (np.array([57990.0, 58020.0]), np.array([0.0, 50.0])))])
def test_a_light_curve_without_fluxes_or_truth_says_so(measured, truth):
    figure = plot_light_curve(curve(measured), truth)
    _, left, _ = figure.axes
    told = {text.get_text() for text in left.texts}
    assert ("no flux was measured" in told) == (measured == 0)
    assert left.get_ylabel() == ("(flux - truth) / error" if truth else "")
    assert png(figure).startswith(b"\x89PNG")


def test_a_scene_without_a_galaxy_says_so():
    figure = plot_scene(curve(), pixels(galaxy=False))
    assert any("no galaxy was fitted" in text.get_text() for axes in figure.axes for text in axes.texts)


def test_a_curve_without_stars_says_so():
    figure = plot_curve_stars(curve(), schema_of(CURVE_STARS).empty_table(), [])
    assert any("no star was seen twice" in text.get_text() for axes in figure.axes for text in axes.texts)
