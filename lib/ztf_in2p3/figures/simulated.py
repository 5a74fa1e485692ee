"""What the apertures of a simulated night should hold."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ztf_in2p3.identifiers import CcdExposure, Exposure
from ztf_in2p3.simulate.truth import Truth


def aperture_truth(truth: Truth, ccd: CcdExposure, radius: float) -> pa.Table:
    """True stars of a CCD exposure, `flux` being what an exact circular aperture sums of it.

    Parameters
    ----------
    radius
        Radius of the aperture, pixels.

    Returns
    -------
    Columns of `ztf_in2p3.simulate.truth.STAR_TRUTH`.
    """
    stars = truth.stars(ccd)
    x, y = stars["x"].to_numpy(), stars["y"].to_numpy()
    fraction = truth.aperture_fractions(ccd.exposure, x, y, radius)[:, 0] if stars.num_rows else np.zeros(0)
    index = stars.schema.get_field_index("flux")
    return stars.set_column(index, stars.schema.field(index), pa.array(stars["flux"].to_numpy() * fraction))


def growth_truth(truth: Truth, exposure: Exposure, radii: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fraction of a star's flux in apertures of some radii (pixels), mean over its place within a pixel.

    `radii` and result: (radius,).
    """
    steps = (np.arange(5) + 0.5) / 5 - 0.5
    x, y = (axis.ravel() for axis in np.meshgrid(steps, steps))
    return truth.aperture_fractions(exposure, x, y, radii).mean(axis=0)
