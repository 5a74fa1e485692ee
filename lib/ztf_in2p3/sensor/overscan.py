"""Electronic offset of the readout chain, measured on the overscan columns."""

from __future__ import annotations

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

from ztf_in2p3.camera import flip_readout
from ztf_in2p3.errors import BadData

_ROUNDS = 20
"""More than the clipping ever needed; it ends when the set of rows no longer changes."""
_SIGMA = 1.4826
"""Standard deviation of a Gaussian, in its median distances."""
_NEGLIGIBLE = 1e-3
"""ADU.  Rows this close to the fit are never left out, even where the rest is exact."""


def overscan_level(overscan: NDArray, *, columns: int = 5, degree: int = 3, clip: float = 3.0) -> NDArray[np.float64]:
    """Offset of each row: a polynomial through the mean of the last columns read.

    The first columns still hold charge that the serial register left behind, so only the last
    ones serve.  A polynomial, because the offset drifts slowly during readout.  Rows far from the
    fit (a hot sample, a bright star's charge that runs into the overscan) are left out and may come
    back: their distances are compared with the median distance of all rows, which a minority of bad
    ones cannot move.

    Mean and wide clipping are for whole numbers.  A row's median goes in steps of an ADU; clipped at
    two standard deviations, where many rows are, the fit settled on either of two sets of them: an offset
    without drift was then known to 0.07 ADU.  The mean of the offset errs by the read noise over
    sqrt(rows x columns), 0.012 ADU for ZTF, its cubic by twice that.

    Parameters
    ----------
    overscan : (row, column), ADU
        Columns in the order of readout; rows in any order, that of the result.  NaN: no data.
    columns
        Columns used, counted from the last one read.
    degree
        Degree of the polynomial in the row number (3: a cubic, four coefficients).
    clip
        Rows further from the fit than this many standard deviations (1.48 median distances) are left out.

    Returns
    -------
    (row,), ADU

    Raises
    ------
    BadData
        Too few rows with data for a polynomial.
    """
    profile = _profile(np.asarray(overscan[:, -columns:], dtype=np.float64))
    finite = np.isfinite(profile)
    if finite.sum() <= degree:
        raise BadData(
            f"{finite.sum()} of {len(profile)} rows of the overscan hold data, a polynomial of degree {degree} "
            f"needs more than {degree}; reject the exposure"
        )
    basis = legendre.legvander(np.linspace(-1, 1, len(profile)), degree)
    level = np.full(len(profile), np.median(profile[finite]))
    used = np.zeros_like(finite)
    for _ in range(_ROUNDS):
        distance = np.abs(profile - level)
        keep = distance <= max(clip * _SIGMA * np.median(distance[finite]), _NEGLIGIBLE)  # False where NaN
        if keep.sum() <= degree:
            keep = finite
        if np.array_equal(keep, used):
            break
        used = keep
        level = basis @ np.linalg.lstsq(basis[used], profile[used])[0]
    return level


def stored_overscan_level(stored: NDArray, qid: int, **how: float) -> NDArray[np.float64]:
    """`overscan_level` of an overscan image as stored: row r of the result is row r of the image.

    Parameters
    ----------
    stored : (row, column), ADU
        As in the file; for qid 2 and 3 the first column is the last one read.
    """
    level = overscan_level(flip_readout(stored, qid), **how)  # type: ignore[arg-type]  # int and float parameters
    return flip_readout(level[:, np.newaxis], qid)[:, 0]


def _profile(last: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of each row over its finite columns; NaN where there is none."""
    finite = np.isfinite(last)
    n = finite.sum(axis=1)
    return np.where(n > 0, np.where(finite, last, 0).sum(axis=1) / np.maximum(n, 1), np.nan)
