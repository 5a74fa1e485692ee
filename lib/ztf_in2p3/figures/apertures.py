"""Which aperture of a catalogue, and which of its stars, a plot is about."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ztf_in2p3.image import is_bad


def radii_of(catalogue: pa.Table) -> NDArray[np.float64]:
    """Radii of the apertures, pixels; they stand in the rows, so a catalogue without stars has none."""
    if not catalogue.num_rows:
        return np.zeros(0)
    n_radius = sum(re.fullmatch(r"r_\d+", name) is not None for name in catalogue.column_names)
    return np.array([catalogue[f"r_{k}"][0].as_py() for k in range(n_radius)], np.float64)


def aperture_at(catalogue: pa.Table, radius: float) -> int:
    """Number of the aperture whose radius is nearest to `radius` (pixels).  ValueError without stars or apertures."""
    radii = radii_of(catalogue)
    if not radii.size:
        raise ValueError("a catalogue without stars or apertures has no nearest one; leave it out")
    return int(np.argmin(np.abs(radii - radius)))


def is_clean(catalogue: pa.Table, k: int) -> NDArray[np.bool_]:
    """True for isolated stars near no bad pixel (a saturated one is bad) whose aperture k is whole."""
    return np.asarray(
        np.asarray(catalogue["isolated"].to_numpy(), bool)
        & ~is_bad(catalogue["flags"].to_numpy())
        & (catalogue[f"f_{k}_f"].to_numpy() == 0)
    )
