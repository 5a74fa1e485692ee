"""Pictures of the PSFs of a period say what the tables say."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from ztf_in2p3.figures.psf import shape_picture, star_picture
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
    assert "3 quadrant exposures, median FWHM 3.00 pixels" in shape_picture(psfs(3), stars(9, 0)).caption
    assert "at most 2.0 thousandths" in shape_picture(psfs(3), stars(9, 0)).caption  # of 4, 2, 0 at 2 pixels
    caption = star_picture(psfs(3), stars(400, -0.01)).caption
    assert "300 stars" in caption
    assert "-10.00 +-" in caption


def test_without_stars_or_psfs_the_pictures_say_so():
    assert "too few stars" in star_picture(psfs(0), stars(0, 0)).caption
    assert shape_picture(psfs(0), stars(0, 0)).png.startswith(b"\x89PNG")
