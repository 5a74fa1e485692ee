"""Pictures of the PSFs of a period say what the tables say."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from ztf_in2p3.figures.psf import draw_shapes, draw_stars
from ztf_in2p3.figures.style import png
from ztf_in2p3.tables import PSF, PSF_CATALOGUE, schema_of


def psfs(n: int) -> pa.Table:
    rows = [
        {"mjd": 58000.0 + k / 24, "fwhm": 2.0 + k, "radius": [1.0, 2.0, 3.0], "growth": [0.0, 0.004 - 0.002 * k, 0.001]}
        for k in range(n)
    ]
    return pa.Table.from_pylist(rows, schema=schema_of(PSF))


def stars(n: int, slope: float) -> pa.Table:
    random = np.random.default_rng(3)
    magnitude = random.uniform(13, 18, n)
    columns = {
        "x": random.uniform(0, 3000, n), "y": random.uniform(0, 3000, n), "g_mag": magnitude,
        "isolated": np.arange(n) % 4 > 0, "f_psf_f": np.zeros(n, int), "width_e": np.full(n, 0.002),
        "width": slope * (magnitude - 15) + np.where(np.arange(n) % 4 > 0, 0, 0.5),
    }  # fmt: skip
    schema = schema_of(PSF_CATALOGUE)
    return pa.table(
        [pa.array(columns[f.name]).cast(f.type) if f.name in columns else pa.nulls(n, f.type) for f in schema],
        schema=schema,
    )


def test_the_words_give_the_median_psf_and_the_slope_of_stars_that_are_alone():
    # The largest lack is the median of 4, 2, 0 at 2 pixels.
    assert draw_shapes(psfs(3)).words == {"n": "3", "fwhm": "3.00", "lacking": "2.0"}
    words = draw_stars(stars(400, -0.01)).words
    assert words["n"] == "300"
    assert "-10.00 +-" in words["trend"]


def test_without_stars_or_psfs_the_pictures_say_so():
    assert "too few stars" in draw_stars(stars(0, 0)).words["trend"]
    assert png(draw_shapes(psfs(0)).figure).startswith(b"\x89PNG")
