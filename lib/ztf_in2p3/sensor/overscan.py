"""Electronic offset of the readout chain, measured on the overscan columns."""

from __future__ import annotations

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

from ztf_in2p3.camera import flip_readout
from ztf_in2p3.errors import BadData
from ztf_in2p3.robust_statistics import MEDIAN_PER_MEAN, SIGMA_PER_MEAN_DEVIATION, Mask, refit, robust_sigma

_ROUNDS = 20
"""More than the clipping ever needed; it ends when the set of rows no longer changes."""
_NEGLIGIBLE = 1.0
"""ADU.  Rows this close to the fit are never left out: without read noise a slow drift is a staircase of whole numbers,
and a fit that keeps only the rows of its longest step never sees the others."""
_CEILING = 65535
"""Largest number of the converter, ADU."""
_MOST_EXTREME = 0.1
"""Share of the samples that may stand at an end of the converter."""
_FAR, _LEAST_NEAR = 6.0, 0.5
"""Rows further from the fit, in read noises of one sample, are hit by something; so large a share must be nearer."""
_MOST_NOISE = 2.0
"""Largest scatter of the samples, over the read noise of the header."""
_PARTS, _MOST_COURSE = 16, 2.0
"""Parts of the rows, each with a median that may be so many ADU off the polynomial."""


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

    def near(level: NDArray | float) -> Mask:
        limit = max(clip * robust_sigma((profile - level)[finite], 0.0), _NEGLIGIBLE)
        rows = np.abs(profile - level) <= limit  # False where NaN
        return rows if rows.sum() > degree else finite

    def fit(used: Mask) -> tuple[NDArray[np.float64], Mask]:
        level = basis @ np.linalg.lstsq(basis[used], profile[used])[0]
        return level, near(level)

    level, _ = refit(fit, near(np.median(profile[finite])), _ROUNDS)
    return level


def stored_overscan_level(
    stored: NDArray, qid: int, *, columns: int = 5, degree: int = 3, clip: float = 3.0
) -> NDArray[np.float64]:
    """`overscan_level` of an overscan image as stored: row r of the result is row r of the image.

    Parameters
    ----------
    stored : (row, column), ADU
        As in the file; for qid 2 and 3 the first column is the last one read.
    columns, degree, clip
        Parameters of `overscan_level`.
    """
    level = overscan_level(flip_readout(stored, qid), columns=columns, degree=degree, clip=clip)
    return flip_readout(level[:, np.newaxis], qid)[:, 0]


def overscan_fault(stored: NDArray, level: NDArray, qid: int, *, columns: int, read_noise: float) -> str:
    """Why an overscan does not measure the electronic offset; empty if it does.

    Parameters
    ----------
    stored : (row, column), ADU
        As in the file.
    level : (row,), ADU
        Its `stored_overscan_level`, from so many `columns`.
    read_noise
        Of the amplifier, ADU.
    """
    last = flip_readout(stored, qid)[:, -columns:]
    known = np.isfinite(last)
    extreme = float(np.mean((last <= 0) | (last >= _CEILING), where=known)) if known.any() else 0.0
    if extreme > _MOST_EXTREME:
        return f"{100 * extreme:.3g} % of its samples are 0 or {_CEILING} ADU, the ends of the converter"
    distance = last - flip_readout(level[:, np.newaxis], qid)
    row = _profile(distance)
    near = np.isfinite(row) & (np.abs(row) <= _FAR * max(read_noise, _NEGLIGIBLE))
    whole = distance[near & known.all(axis=1)]
    scatter = _clipped_scatter(whole - np.median(whole, axis=0)) if len(whole) else 0.0  # charge decays along columns
    if scatter > _MOST_NOISE * read_noise or np.mean(near) < _LEAST_NEAR:
        far = 100 * (1 - float(np.mean(near)))
        return (
            f"its samples scatter by {scatter:.3g} ADU about its course, {far:.3g} % of its rows are beyond "
            f"{_FAR * read_noise:.3g} ADU; READNOI is {read_noise:.3g} ADU"
        )
    parts = [part[np.isfinite(part)] for part in np.array_split(row, _PARTS)]
    course = max((abs(float(np.median(part))) for part in parts if part.size), default=0.0)
    error = MEDIAN_PER_MEAN * read_noise / np.sqrt(columns * max(1, len(row) // _PARTS))
    if course > _MOST_COURSE + 6 * error:
        return f"its course leaves the polynomial through it by {course:.3g} ADU; {_MOST_COURSE:g} are allowed"
    return ""


def _clipped_scatter(values: NDArray) -> float:
    """Standard deviation about zero of those within five of the mean absolute distance's."""
    if not values.size:
        return 0.0
    limit = 5 * SIGMA_PER_MEAN_DEVIATION * max(float(np.mean(np.abs(values))), _NEGLIGIBLE)
    kept = values[np.abs(values) <= limit]
    return float(np.sqrt(np.mean(kept.astype(np.float64) ** 2)))


def _profile(last: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of each row over its finite columns; NaN where there is none."""
    finite = np.isfinite(last)
    n = finite.sum(axis=1)
    return np.where(n > 0, np.where(finite, last, 0).sum(axis=1) / np.maximum(n, 1), np.nan)
