"""Many frames of one thing, combined into one better frame."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, ndtr

_BLOCK = 1 << 15
"""Pixels whose frames are combined at a time, so that they stay in the processor's cache."""
_MARGIN = 1e-3
"""Float32 sums over a pixel's frames are good to far better than this; what lies within is decided in float64."""
_TINY = 1e-25
"""ADU^2.  Squares below lose digits in float32."""

Comparison = tuple[int, int, bool, bool]


def clipped_median(frames: NDArray[np.float32], *, clip: float) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
    """Median of each pixel over the frames, without its outliers.

    Once: a value further from the pixel's median than `clip` standard deviations of the pixel
    over its frames is left out, and the median of the others taken.  Exact, and independent of
    the order of the frames and of how the pixels are cut into calls: the median comes from a
    sorting network over the frames (K. Batcher 1968, AFIPS 32, 307), and wherever a value may
    be clipped, or one is missing, median and deviation are taken again in float64 over the
    sorted values.  One outlier is recognised from 8 frames on at 3 sigma (its distance is at
    most n / sqrt(n - 1) deviations, since it widens them itself); below, the median alone
    stands against it.

    Parameters
    ----------
    frames : (frame, row, column), ADU
        Any range of rows of the frames: pixels do not know each other, so a caller who is short
        of memory hands in a few rows at a time.  NaN or infinite: no data.
    clip
        Rejection threshold, in standard deviations (about the mean, divided by the number).

    Returns
    -------
    median : (row, column), ADU
        NaN where no frame holds data.
    count : (row, column)
        Frames kept.

    Raises
    ------
    ValueError
        No frame at all; a threshold that could leave none.
    """
    n_frame, *shape = frames.shape
    if n_frame == 0 or clip <= 1:
        raise ValueError(f"{n_frame} frames, clip {clip}: at least one frame and a threshold above 1 are needed")
    flat = frames.reshape(n_frame, -1)
    median = np.empty(flat.shape[1], np.float32)
    count = np.full(flat.shape[1], n_frame, np.uint16)
    for start in range(0, flat.shape[1], _BLOCK):
        block = slice(start, start + _BLOCK)
        median[block], certain = _unclipped(flat[:, block], clip)
        doubtful = start + np.flatnonzero(~certain)
        if doubtful.size:
            median[doubtful], count[doubtful] = _clipped(flat[:, doubtful], clip)
    return median.reshape(shape), count.reshape(shape)


def kept_scatter(frames: NDArray[np.float32], *, clip: float) -> NDArray[np.float32]:
    """Sample variance of each pixel over the frames that its clipped median is taken of.

    A few frames know the noise of one pixel badly (to 47 % for ten, 80 % for four), so this is
    no weight: pool it over many pixels.

    Parameters
    ----------
    frames, clip
        As for `clipped_median`.

    Returns
    -------
    (row, column), ADU^2
        NaN where fewer than two frames were kept.
    """
    ordered, first, n = _kept(frames.reshape(len(frames), -1), clip)
    place = np.arange(len(ordered))[:, np.newaxis]
    here = (first <= place) & (place < first + n)
    mean = _sum(np.where(here, ordered, np.float64(0))) / np.maximum(n, 1)
    squares = _sum(np.where(here, (ordered - mean) ** 2, 0.0))
    return np.where(n > 1, squares / np.maximum(n - 1, 1), np.nan).astype(np.float32).reshape(frames.shape[1:])


@cache
def median_variance(n: int) -> float:
    """Variance of the median of n Gaussian values of variance 1, exactly.

    pi / (2 n) is its limit for many; at the few frames of a flat the truth differs by tens of
    per cent and between odd and even n (0.298 for 4, 0.287 for 5).  The two middle order
    statistics x <= y of n = 2m values have the joint density
    n! / (m-1)!^2 F(x)^(m-1) (1 - F(y))^(m-1) f(x) f(y) (H. David & H. Nagaraja, Order
    Statistics, 2003, eq. 2.2.1), the middle one of n = 2m + 1 has n! / m!^2 (F (1 - F))^m f.

    Raises
    ------
    ValueError
        n is not positive.
    """
    if n < 1:
        raise ValueError(f"a median of {n} values")
    width = min(8.0, 14 / np.sqrt(n))  # the middle ones lie within 14 / 1.25 of their own deviations
    x = np.linspace(-width, width, 801)
    density = np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi)
    low, high = np.log(ndtr(x)), np.log(ndtr(-x))
    m = n // 2
    if n % 2:
        weight = np.exp(gammaln(n + 1) - 2 * gammaln(m + 1) + m * (low + high)) * density
        return float(np.sum(weight * x**2) / np.sum(weight))
    joint = np.exp(gammaln(n + 1) - 2 * gammaln(m) + (m - 1) * (low[:, np.newaxis] + high)) * np.outer(density, density)
    joint = np.triu(joint) * np.where(np.eye(len(x), dtype=bool), 0.5, 1.0)  # half a cell lies on the diagonal
    return float(np.sum(joint * (0.5 * (x[:, np.newaxis] + x)) ** 2) / np.sum(joint))


def stack_variance(count: NDArray[np.integer], noise: NDArray | float) -> NDArray[np.float32]:
    """Variance of a clipped median.

    The noise of one frame must come from elsewhere than the pixel's own few values (a model of
    the detector, or `kept_scatter` pooled over many pixels): weights made of the pixel's own
    scatter would be noisy, and correlated with its value.

    Parameters
    ----------
    count : (row, column)
        Frames kept.
    noise : (row, column) or a number, ADU^2
        Variance of one frame.

    Returns
    -------
    (row, column), ADU^2
        NaN where no frame was kept.
    """
    table = np.full(int(count.max(initial=0)) + 1, np.nan, np.float32)
    for n in np.unique(count):
        if n > 0:
            table[n] = median_variance(int(n))
    return (table[count] * noise).astype(np.float32)


def _unclipped(frames: NDArray[np.float32], clip: float) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Median over all frames, and where it certainly is the answer: all values there, none clipped."""
    n_frame = len(frames)
    with np.errstate(all="ignore"):
        median = _network_median(frames)
        furthest, total, squares = np.zeros_like(median), np.zeros_like(median), np.zeros_like(median)
        for frame in frames:
            distance = frame - median
            total += distance
            distance *= distance
            squares += distance
            np.maximum(furthest, distance, out=furthest)
        total *= np.float32(1 / n_frame)
        total *= total
        squares *= np.float32(1 / n_frame)
        squares -= total  # variance about the mean
        squares *= np.float32(clip * clip * (1 - _MARGIN))
        return median, (furthest < squares) & (squares > _TINY)  # False where not finite


def _network_median(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    lines = list(frames.copy())
    spare = np.empty_like(lines[0])
    for i, j, need_low, need_high in _median_network(len(lines)):
        if need_low and need_high:
            np.minimum(lines[i], lines[j], out=spare)
            np.maximum(lines[i], lines[j], out=lines[j])
            lines[i], spare = spare, lines[i]
        elif need_low:
            np.minimum(lines[i], lines[j], out=lines[i])
        else:
            np.maximum(lines[i], lines[j], out=lines[j])
    low, high = lines[(len(lines) - 1) // 2], lines[len(lines) // 2]
    return low if low is high else (low + high) * np.float32(0.5)


@cache
def _median_network(n: int) -> tuple[Comparison, ...]:
    """Batcher's merge exchange for n lines (D. Knuth, TAOCP 3, 5.2.2 M), less what the middle does not need.

    Returns (i, j, whether line i is needed afterwards, whether line j is), in order: the smaller
    value goes to line i.
    """
    exchanges = []
    top = 1 << max((n - 1).bit_length() - 1, 0)
    p = top
    while p > 0:
        q, r, d = top, 0, p
        while True:
            exchanges += [(i, i + d) for i in range(n - d) if i & p == r]
            if q == p:
                break
            d, q, r = q - p, q >> 1, p
        p >>= 1
    needed = {(n - 1) // 2, n // 2}
    network: list[Comparison] = []
    for i, j in reversed(exchanges):
        if i in needed or j in needed:
            network.append((i, j, i in needed, j in needed))
            needed |= {i, j}
    return tuple(reversed(network))


def _clipped(frames: NDArray[np.float32], clip: float) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
    """Clipped median and count of (frame, pixel), the straight way."""
    ordered, first, n = _kept(frames, clip)
    return _middle(ordered, first, n), n.astype(np.uint16)


def _kept(frames: NDArray[np.float32], clip: float) -> tuple[NDArray[np.float32], NDArray[np.intp], NDArray[np.intp]]:
    """Sorted values of (frame, pixel), first one kept, number kept: by distance from the median, so neighbours."""
    ordered = np.sort(np.where(np.isfinite(frames), frames, np.float32(np.nan)), axis=0)  # missing ones last
    n = np.isfinite(ordered).sum(axis=0)
    median = _middle(ordered, np.zeros_like(n), n)
    wide = ordered.astype(np.float64)
    here = np.arange(len(ordered))[:, np.newaxis] < n
    n_at_least_1 = np.maximum(n, 1)
    mean = _sum(np.where(here, wide, 0.0)) / n_at_least_1
    deviation = np.sqrt(_sum(np.where(here, (wide - mean) ** 2, 0.0)) / n_at_least_1)
    keep = np.abs(wide - median) <= clip * deviation  # False where missing
    return ordered, keep.argmax(axis=0), keep.sum(axis=0)


def _sum(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over the frames one by one: a pairwise sum would depend on how many values are missing."""
    total = np.zeros(values.shape[1:])
    for frame in values:
        total += frame
    return total


def _middle(ordered: NDArray[np.float32], first: NDArray[np.intp], n: NDArray[np.intp]) -> NDArray[np.float32]:
    """Median of n sorted values from the first on; NaN where n is 0."""
    pixel = np.arange(ordered.shape[1])
    low = ordered[first + np.maximum(n - 1, 0) // 2, pixel]
    high = ordered[np.minimum(first + n // 2, len(ordered) - 1), pixel]
    middle = np.where(n % 2 == 1, low, (low + high) * np.float32(0.5))
    return np.where(n > 0, middle, np.float32(np.nan))
