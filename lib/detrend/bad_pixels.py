"""Pixels that calibration frames show to be bad."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from lib.image import MaskBit

HOT_SIGMA, NOISY_SIGMA = 8.0, 6.0
DEAD, LOW, HIGH = 0.05, 0.7, 1.3
"""Response over that of the neighbourhood, as IPAC's bits are named."""
_AROUND = 15
"""Pixels of the neighbourhood's side."""


def bad_pixels(
    bias: NDArray[np.float32], flat: NDArray[np.float32], scatter: NDArray[np.float32] | None = None
) -> NDArray[np.uint16]:
    """Mask of one quadrant: dead, low and high response, hot (as noisy, which IPAC's bits know), noisy, without data.

    Each pixel is compared with the median of the 15 x 15 pixels around it, so that vignetting,
    glow and the columns' pattern of the bias do not matter.

    Parameters
    ----------
    bias : (row, column), ADU
        Master bias.
    flat : (row, column)
        Master flat, of any normalisation.
    scatter : (row, column), ADU^2
        Variance of each pixel over the bias frames (`lib.detrend.stack.kept_scatter`), if known.

    Returns
    -------
    (row, column), `lib.image.MaskBit`
        To be merged with IPAC's by bitwise or.
    """
    if not bias.shape == flat.shape or (scatter is not None and scatter.shape != bias.shape):
        raise ValueError(f"planes of one quadrant differ in shape: bias {bias.shape}, flat {flat.shape}")
    mask = np.zeros(bias.shape, np.uint16)
    with np.errstate(divide="ignore", invalid="ignore"):
        response = flat / _neighbourhood(flat)
    mask[(response < LOW) & (response >= DEAD)] |= np.uint16(MaskBit.LOW_RESPONSE)
    mask[response > HIGH] |= np.uint16(MaskBit.HIGH_RESPONSE)
    mask[response < DEAD] |= np.uint16(MaskBit.DEAD)
    mask[_beyond(bias - _neighbourhood(bias), HOT_SIGMA)] |= np.uint16(MaskBit.NOISY)
    if scatter is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            mask[_beyond(np.log(scatter), NOISY_SIGMA)] |= np.uint16(MaskBit.NOISY)
    mask[~(np.isfinite(bias) & np.isfinite(flat))] |= np.uint16(MaskBit.NAN)
    return mask


def _neighbourhood(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    known = np.isfinite(plane)
    return median_filter(np.where(known, plane, np.median(plane[known]) if known.any() else 0), _AROUND)


def _beyond(plane: NDArray, sigma: float) -> NDArray[np.bool_]:
    """Above the median by so many robust standard deviations."""
    known = plane[np.isfinite(plane)]
    if not known.size:
        return np.zeros(plane.shape, bool)
    middle = np.median(known)
    return plane - middle > sigma * 1.4826 * np.median(np.abs(known - middle))
