"""Sources found in an image, for want of a reference catalogue."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import sep
from numpy.typing import NDArray

from ztf_in2p3.errors import BadData

_MIN_PIXELS = 3
"""Connected pixels over the threshold that make a source."""

_WINDOW = 1.5
"""Standard deviation of the Gaussian window of the centroids, pixels.

SExtractor's rule, seeing / 2.35, is half a pixel in ZTF's best seeing: one pixel then decides the centroid.
On a real quadrant of seeing 1.24 windows of 0.53, 0.8, 1.0, 1.5 and 2 pixels leave 70, 17, 10, 7 and 7 mmag between
an aperture of 2 pixels diameter and the archive's; the barycentre over the threshold leaves 11.
"""

_MAX_SHIFT = 1.0
"""A windowed centroid further than this from the barycentre, pixels, went to a neighbour: not believed."""


class Detected(NamedTuple):
    """Sources of an image; arrays (source,)."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    """Pixels; 0 is the centre of the first."""
    flux: NDArray[np.float64]
    """ADU over the threshold's isophote: a rough one."""


def detect_sources(
    data: NDArray[np.float32], rms: NDArray[np.float32], ignored: NDArray[np.bool_], *, threshold: float
) -> Detected:
    """Peaks over the noise, with windowed centroids.

    Parameters
    ----------
    data : (row, column), ADU
        Background subtracted, finite.
    rms : (row, column), ADU
    ignored : (row, column)
        Bad pixels.  Saturated ones belong to their star and should not be among them, or the star
        falls to pieces.
    threshold
        In units of the noise of a pixel.

    Raises
    ------
    BadData
        The image is too crowded for this threshold.
    """
    try:
        sources = sep.extract(data, threshold, err=rms, mask=ignored, minarea=_MIN_PIXELS)
    except Exception as error:  # sep raises this bare class when one of its buffers is full
        raise BadData(
            f"sources could not be told apart at {threshold} sigma ({error}); expected a field of stars: "
            "raise detection_sigma, or use a reference catalogue"
        ) from error
    x, y = sources["x"].astype(np.float64), sources["y"].astype(np.float64)
    x_window, y_window, flag = sep.winpos(data, x, y, np.full(len(x), _WINDOW))
    believed = (flag == 0) & (np.hypot(x_window - x, y_window - y) < _MAX_SHIFT)
    return Detected(
        np.where(believed, x_window, x), np.where(believed, y_window, y), sources["flux"].astype(np.float64)
    )
