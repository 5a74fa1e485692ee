"""Growth curves of stars whose profile is known."""

import io

import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits

from ztf_in2p3.figures.growth import growth_curve, plot_growth_curve, published_growth_curve
from ztf_in2p3.image import MaskBit

RADII = (1.0, 2.0, 5.0, 7.0)
LOST = np.array([0.6, 0.2, 0.0, -0.01])
"""Magnitudes lost with respect to the aperture of 10 pixels diameter."""


def catalogue(magnitude, noise=0.0, seed=0, **columns):
    """Stars of one growth curve, with independent noise (magnitudes) in all apertures but the reference."""
    n = len(magnitude)
    scatter = noise * np.random.default_rng(seed).normal(size=(n, len(RADII)))
    scatter[:, 2] = 0
    flux = 10 ** (-0.4 * (np.asarray(magnitude)[:, None] + LOST + scatter - 26.0))
    made = {"isolated": np.ones(n, dtype=bool), "flags": np.zeros(n, dtype=np.uint16)}
    for k, radius in enumerate(RADII):
        made |= {f"r_{k}": np.full(n, radius, dtype=np.float32), f"f_{k}": flux[:, k].astype(np.float32)}
        made[f"f_{k}_f"] = np.zeros(n, dtype=np.int16)
    return pa.table(made | columns)


def test_the_curve_is_what_the_apertures_lose():
    curve = growth_curve(catalogue(np.linspace(15.1, 17.9, 50)), zero_point=26.0)
    np.testing.assert_array_equal(curve.diameter, [2, 4, 10, 14])
    np.testing.assert_allclose(curve.difference, LOST, atol=1e-5)  # float32 fluxes
    assert curve.n_star == 50


def test_errors_are_the_scatter_of_the_median():
    medians, errors = zip(
        *(
            (curve.difference, curve.error)
            for seed in range(200)
            for curve in [growth_curve(catalogue(np.full(101, 16.0), 0.02, seed), zero_point=26.0)]
        ),
        strict=True,
    )
    others = [0, 1, 3]
    # 200 draws know a scatter to 5 %, 4 sigma is 20 %.
    np.testing.assert_allclose(np.mean(errors, axis=0)[others], np.std(medians, axis=0)[others], rtol=0.2)
    assert np.mean(errors, axis=0)[2] == 0


def test_only_isolated_clean_stars_of_the_range_count():
    magnitude = np.array([16.0, 16.1, 16.2, 16.3, 14.9, 18.1, 16.5])
    isolated = np.array([True, False, True, True, True, True, True])
    flags = np.array([0, 0, MaskBit.SATURATED, MaskBit.SOURCE, 0, 0, 0], dtype=np.uint16)
    cut = np.array([0, 0, 0, 0, 0, 0, 0x10], dtype=np.int16)
    table = catalogue(magnitude, isolated=isolated, flags=flags, f_3_f=cut)
    assert growth_curve(table, zero_point=26.0).n_star == 2  # the first, and the one of 16.3
    assert growth_curve(table, zero_point=26.0, magnitudes=(14, 19)).n_star == 4


def test_without_a_star_the_curve_is_unknown_and_a_missing_aperture_is_a_mistake():
    curve = growth_curve(catalogue(np.full(3, 20.0)), zero_point=26.0)
    assert curve.n_star == 0
    assert np.isnan(curve.difference).all()
    assert growth_curve(catalogue(np.zeros(0)), zero_point=26.0).diameter.size == 0
    with pytest.raises(ValueError, match=r"no aperture of diameter 12 pixels.*2, 4, 10, 14"):
        growth_curve(catalogue([16.0]), zero_point=26.0, reference_diameter=12.0)


def test_a_published_curve_is_the_difference_of_the_cards():
    header = fits.Header({"FIXAPERS": "2,4,10,14", "APCOR1": -0.61, "APCOR2": -0.21, "APCOR3": -0.01, "APCOR4": 0.0})
    published = published_growth_curve(header)
    assert published == pytest.approx({2.0: 0.6, 4.0: 0.2, 10.0: 0.0, 14.0: -0.01})
    assert published_growth_curve(fits.Header()) == {}


@pytest.mark.parametrize("published", [None, {2.0: 0.6, 10.0: 0.0, 14.0: -0.02}])
def test_the_plot_shows_curves_and_what_is_left(published):
    curve = growth_curve(catalogue(np.linspace(15.1, 17.9, 50), 0.02), zero_point=26.0)
    figure = plot_growth_curve({"ours": curve}, published, title="night")
    png = io.BytesIO()
    figure.savefig(png, format="png")
    assert png.getvalue().startswith(b"\x89PNG")
    assert len(figure.axes) == (2 if published else 1)
    assert "ours, 50 stars" in [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    if published:  # of the three shared diameters, what is measured less what is published
        drawn = figure.axes[1].containers[0].lines[0].get_xydata()
        np.testing.assert_allclose(drawn[:, 0], [2, 10, 14])
        np.testing.assert_allclose(drawn[2, 1], 1e3 * (curve.difference[3] + 0.02), rtol=1e-6)
