"""Many frames of one thing, combined into one better frame."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, ndtr

from ztf_in2p3.compiled import compiled

_BLOCK = 256
"""Pixels whose frames are combined at a time, so that they stay in the processor's cache."""


def clipped_median(frames: NDArray[np.float32], *, clip: float) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
    """Median of each pixel over the frames, without its outliers.

    Once: a value further from the pixel's median than `clip` standard deviations of the pixel
    over its frames is left out, and the median of the others taken.  Exact, and independent of
    the order of the frames and of how the pixels are cut into calls: a sorting network
    (K. Batcher 1968, AFIPS 32, 307) orders the frames of many pixels at a time, and mean and
    deviation are sums in float64 in that order.  One outlier is recognised from 8 frames on at
    3 sigma (its distance is at most n / sqrt(n - 1) deviations, since it widens them itself);
    below, the median alone stands against it.

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
    median, count, _ = _combined(frames, clip)
    return median, count


def clipped_mean(frames: NDArray[np.float32], *, clip: float) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
    """Mean of each pixel over the frames whose clipped median `clipped_median` takes, with the same count.

    `frames`: (frame, row, column).

    A median of whole numbers is one, or half of one: of many frames whose offset does not wander
    its steps exceed its noise, and show as stripes.  A mean has no steps where the noise of a
    frame is an ADU or more.  Summed in float64 in rising order, so exact and independent of the
    order of the frames; parameters and errors as there.
    """
    mean, count, _ = _combined(frames, clip, mean=True)
    return mean, count


def kept_scatter(frames: NDArray[np.float32], *, clip: float) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
    """Sample variance of each pixel over the frames that its clipped median is taken of, and their number.

    A few frames know the noise of one pixel badly (to 47 % for ten, 80 % for four), so this is
    no weight: pool it over many pixels.

    Parameters
    ----------
    frames, clip
        As for `clipped_median`.

    Returns
    -------
    scatter : (row, column), ADU^2
        NaN where fewer than two frames were kept.
    count : (row, column)
    """
    _, count, scatter = _combined(frames, clip, scatter=True)
    return scatter, count


def _combined(
    frames: NDArray[np.float32], clip: float, *, mean: bool = False, scatter: bool = False
) -> tuple[NDArray[np.float32], NDArray[np.uint16], NDArray[np.float32]]:
    """Median or mean, count, scatter (empty if not asked for)."""
    n_frame, *shape = frames.shape
    if n_frame == 0 or clip <= 1:
        raise ValueError(f"{n_frame} frames, clip {clip}: at least one frame and a threshold above 1 are needed")
    flat = np.ascontiguousarray(frames).reshape(n_frame, -1)
    n_pixel = flat.shape[1]
    middle, count = np.empty(n_pixel, np.float32), np.empty(n_pixel, np.uint16)
    deviation = np.empty(n_pixel if scatter else 0, np.float32)
    _combine(flat, *exchanges(n_frame), float(clip), mean, middle, count, deviation)
    return middle.reshape(shape), count.reshape(shape), deviation.reshape(shape) if scatter else deviation


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


def stack_variance(count: NDArray[np.integer], noise: NDArray | float, *, mean: bool = False) -> NDArray[np.float32]:
    """Variance of a clipped median, or of a clipped mean.

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
    for n in np.flatnonzero(np.bincount(count.ravel(), minlength=1)):
        if n > 0:
            table[n] = 1 / n if mean else median_variance(int(n))
    variance = table[count]
    variance *= np.asarray(noise, np.float32)
    return variance


@cache
def exchanges(n: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Network that sorts n lines: Batcher's merge exchange (D. Knuth, TAOCP 3, 5.2.2 M).

    Pair after pair of lines, the smaller of their values goes to the first.
    """
    swaps = []
    top = 1 << max((n - 1).bit_length() - 1, 0)
    p = top
    while p > 0:
        q, r, d = top, 0, p
        while True:
            swaps += [(i, i + d) for i in range(n - d) if i & p == r]
            if q == p:
                break
            d, q, r = q - p, q >> 1, p
        p >>= 1
    pairs = np.array(swaps, np.intp).reshape(-1, 2)
    return np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1])


@compiled
def _combine(frames, lower, upper, clip, averaged, median, count, scatter):  # type: ignore[no-untyped-def]
    """Clipped median (or mean, if averaged), frames kept and, if there is room for it, their sample variance.

    Frames (frame, pixel).
    """
    n_frame, n_pixel = frames.shape
    lines = np.empty((n_frame, _BLOCK), np.float32)
    n, first, kept = np.empty(_BLOCK, np.int32), np.empty(_BLOCK, np.int32), np.empty(_BLOCK, np.int32)
    mean, limit, middle = np.empty(_BLOCK), np.empty(_BLOCK), np.empty(_BLOCK)
    for start in range(0, n_pixel, _BLOCK):
        width = min(_BLOCK, n_pixel - start)
        n[:], first[:], kept[:] = 0, 0, 0
        for f in range(n_frame):
            frame, line = frames[f, start : start + width], lines[f]
            for p in range(width):
                finite = abs(frame[p]) < np.float32(np.inf)
                n[p] += finite
                line[p] = frame[p] if finite else np.float32(np.inf)  # missing ones last
        for c in range(len(lower)):
            low, high = lines[lower[c]], lines[upper[c]]
            for p in range(width):
                a, b = low[p], high[p]
                low[p], high[p] = (a if a < b else b), (b if a < b else a)
        _mean_and_deviation(lines, n, mean, limit, width)
        for p in range(width):
            limit[p] *= clip
            middle[p] = _median(lines, p, 0, n[p])
        for f in range(n_frame):
            line = lines[f]
            for p in range(width):
                counted = f < n[p]
                near = counted & (abs(np.float64(line[p]) - middle[p]) <= limit[p])
                kept[p] += near
                first[p] += counted & (not near) & (kept[p] == 0)
        for p in range(width):
            count[start + p] = kept[p]
            if averaged:
                median[start + p] = _mean(lines, p, first[p], kept[p])
            else:
                median[start + p] = _median(lines, p, first[p], kept[p])
        if len(scatter):
            for p in range(width):
                scatter[start + p] = _variance(lines, p, first[p], kept[p])


@compiled
def _mean_and_deviation(lines, n, mean, deviation, width):  # type: ignore[no-untyped-def]
    """Moments of the first n values of each pixel, summed in order: a pairwise sum would depend on how many miss."""
    mean[:], deviation[:] = 0.0, 0.0
    for f in range(len(lines)):
        line = lines[f]
        for p in range(width):
            mean[p] += np.float64(line[p]) if f < n[p] else 0.0
    for p in range(width):
        mean[p] /= max(n[p], 1)
    for f in range(len(lines)):
        line = lines[f]
        for p in range(width):
            distance = np.float64(line[p]) - mean[p] if f < n[p] else 0.0
            deviation[p] += distance * distance
    for p in range(width):
        deviation[p] = np.sqrt(deviation[p] / max(n[p], 1))


@compiled
def _median(lines, p, first, n):  # type: ignore[no-untyped-def]
    """Median of n ordered values of a pixel from the first on; NaN where there is none."""
    if n == 0:
        return np.float32(np.nan)
    low, high = lines[first + (n - 1) // 2, p], lines[first + n // 2, p]
    return low if n % 2 == 1 else (low + high) * np.float32(0.5)


@compiled
def _mean(lines, p, first, n):  # type: ignore[no-untyped-def]
    """Mean of n ordered values of a pixel from the first on; NaN where there is none."""
    total = 0.0
    for f in range(first, first + n):
        total += np.float64(lines[f, p])
    return np.float32(total / n) if n else np.float32(np.nan)


@compiled
def _variance(lines, p, first, n):  # type: ignore[no-untyped-def]
    """Sample variance of n ordered values of a pixel from the first on; NaN where there are fewer than two."""
    if n < 2:
        return np.nan
    mean, squares = 0.0, 0.0
    for f in range(first, first + n):
        mean += lines[f, p]
    mean /= n
    for f in range(first, first + n):
        squares += (lines[f, p] - mean) ** 2
    return squares / (n - 1)
