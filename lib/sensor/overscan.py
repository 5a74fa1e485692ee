"""Electronic offset of the readout chain, measured on the overscan columns."""

from __future__ import annotations

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

from lib.camera import flip_readout
from lib.errors import BadData

_ROUNDS = 20
"""More than the clipping ever needed; it ends when the set of rows no longer changes."""
_NEGLIGIBLE = 1e-3
"""ADU.  Rows this close to the fit are never left out, even where the rest is exact."""


def overscan_level(overscan: NDArray, *, columns: int = 5, degree: int = 3, clip: float = 3.0) -> NDArray[np.float64]:
    """Offset of each row: a polynomial through the median of the last columns read.

    The first columns still hold charge that the serial register left behind, so only the last
    ones serve.  A median, because one hot sample of five would move a mean by a fifth of its
    excess; a polynomial, because the offset drifts slowly during readout.  Rows far from the
    fit (a bright star's charge that runs into the overscan) are left out and may come back:
    their distances are compared with the median distance of all rows, which a minority of bad
    ones cannot move, so the clipping does not eat into good rows.  The error of the fit is the
    profile's noise times sqrt((degree + 1) / rows): 0.029 ADU for ZTF.

    Parameters
    ----------
    overscan : (row, column), ADU
        Columns in the order of readout; rows in any order, that of the result.  NaN: no data.
    columns
        Columns used, counted from the last one read.
    degree
        Of the polynomial in the row number (3: a cubic, four coefficients).
    clip
        Rows further from the fit than this many median absolute distances are left out.

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
        keep = distance <= max(clip * np.median(distance[finite]), _NEGLIGIBLE)  # False where NaN
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
    """Median of each row over its finite columns; NaN where there is none."""
    ordered = np.sort(np.where(np.isfinite(last), last, np.nan), axis=1)  # NaN to the end
    n = np.isfinite(ordered).sum(axis=1)
    row = np.arange(len(ordered))
    return 0.5 * (ordered[row, np.maximum(n - 1, 0) // 2] + ordered[row, n // 2])
