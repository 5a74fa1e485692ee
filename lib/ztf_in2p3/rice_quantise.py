"""Whole numbers that stand for rows of floating point pixels, compiled.

A row is cut into steps of a fraction of its noise, and a dither of fixed random numbers, which readers subtract again,
spares sums over many pixels the bias of rounding (White & Greenfield 1999, ASPC 172, 125; Pence et al. 2010, PASP
122, 1065; FITS standard 4.0, section 10.2).
"""

from __future__ import annotations

import numpy as np

from ztf_in2p3.compiled import compiled

LEAST_COLUMNS = 9
"""Fewest pixels whose noise the fifth-order differences know."""
BLANK = -2147483648
"""Whole number of a pixel without data."""
_SECOND, _THIRD, _FIFTH = 1.0483579, 0.6052697, 0.1772048
"""Noise of a pixel over the median of the absolute differences, for Gaussian noise (Pence et al. 2010, section 3.2)."""
_MOST_STEPS = 2.0 * 2147483647.0 - 10
_MOST_POSITIVE = 2147483647.0 - 10
_N_RANDOM_AHEAD = np.float32(500)

_jit = compiled(nogil=True, boundscheck=False)


@_jit
def _lower_median(bits, n):  # type: ignore[no-untyped-def]
    """Lower median of the first n of non-negative floats, given as their bits, whose order is theirs: by bisection."""
    at_most = (n + 1) // 2
    low, high = np.int32(0), np.int32(0)
    for i in range(n):
        high = max(high, bits[i])
    while low < high:
        middle = low + ((high - low) >> np.int32(1))
        count = np.int32(0)
        for i in range(n):
            count += bits[i] <= middle
        if count >= at_most:
            high = middle
        else:
            low = middle + np.int32(1)
    return low


@_jit
def _has_runs(row):  # type: ignore[no-untyped-def]
    """Whether three neighbours are alike anywhere."""
    n = np.int32(0)
    for i in range(len(row) - 2):
        n += (row[i] == row[i + 1]) & (row[i + 1] == row[i + 2])
    return n > 0


@_jit
def _differences(row, second, third, fifth):  # type: ignore[no-untyped-def]
    """Absolute differences of the orders 2, 3 and 5 over every second pixel; how many there are of the last two.

    Stretches of one value have no noise and are passed over; `second` keeps zeros where it has fewer.
    """
    two, four, six = np.float32(2), np.float32(4), np.float32(6)
    n = len(row) - 8
    if not _has_runs(row):
        for i in range(n):
            second[i] = abs(row[i + 4] - row[i + 6])
            third[i] = abs(two * row[i + 4] - row[i + 2] - row[i + 6])
            fifth[i] = abs(six * row[i + 4] - four * row[i + 2] - four * row[i + 6] + row[i] + row[i + 8])
        return n
    n_second, n_third = 0, 0
    second[:] = np.float32(0)
    for i in range(n):
        v3, v4, v5, v6, v7 = row[i + 2], row[i + 3], row[i + 4], row[i + 5], row[i + 6]
        if not (v5 == v6 and v6 == v7):
            second[n_second] = abs(v5 - v7)
            n_second += 1
        if not (v3 == v4 and v4 == v5 and v5 == v6 and v6 == v7):
            third[n_third] = abs(two * v5 - v3 - v7)
            fifth[n_third] = abs(six * v5 - four * v3 - four * v7 + row[i] + row[i + 8])
            n_third += 1
    return n_third


@_jit
def row_noise(row, second, third, fifth):  # type: ignore[no-untyped-def]
    """Smallest of the three estimates of a row's noise that are not 0, but that of the third order may be.

    The last three (column,), float32: to work in.
    """
    n = _differences(row, second, third, fifth)
    if n == 0:
        return 0.0
    medians = np.empty(3, np.int32)
    medians[0] = _lower_median(second.view(np.int32), n)
    medians[1] = _lower_median(third.view(np.int32), n)
    medians[2] = _lower_median(fifth.view(np.int32), n)
    values = medians.view(np.float32)
    noise2, noise3, noise5 = _SECOND * values[0], _THIRD * values[1], _FIFTH * values[2]
    noise = noise3
    if noise2 != 0.0 and noise2 < noise:
        noise = noise2
    if noise5 != 0.0 and noise5 < noise:
        noise = noise5
    return noise


@_jit
def quantise_row(row, steps, seed, randoms, work, whole):  # type: ignore[no-untyped-def]
    """Fill `whole` (column,) with the row in steps; the size of a step and the value of 0.  A step of 0: it cannot be.

    `steps` per deviation of the noise; `seed`: place in the table of random numbers; `work` (4, column), float32.
    """
    known, n_known = work[3], 0
    least, most = np.float32(np.inf), np.float32(-np.inf)
    for i in range(len(row)):
        value = row[i]
        if value == value:
            n_known += 1
            least, most = min(least, value), max(most, value)
    blank = least if n_known else np.float32(0)
    for i in range(len(row)):
        known[i] = row[i] if row[i] == row[i] else blank
    if n_known == 0:
        least = most = np.float32(0)
    delta = row_noise(known, work[0], work[1], work[2]) / steps
    n_step = np.float64(most - least) / delta
    if delta == 0.0 or n_step > _MOST_STEPS:
        return 0.0, 0.0
    if n_step < _MOST_POSITIVE:  # whole numbers from 0 on, which take the fewest bits
        zero = np.float64(np.int64(np.float64(least) / delta + 0.5)) * delta
    else:
        zero = np.float64(least + most) / 2
    at = np.int64(randoms[seed] * _N_RANDOM_AHEAD)
    start = 0
    while start < len(row):
        stop = min(len(row), start + int(len(randoms) - at))
        for i in range(start, stop):
            x = (np.float64(known[i]) - zero) / delta + np.float64(randoms[at + i - start]) - 0.5
            whole[i] = np.int32(x + 0.5) if x >= 0.0 else np.int32(x - 0.5)
        start = stop
        seed = (seed + 1) % len(randoms)
        at = np.int64(randoms[seed] * _N_RANDOM_AHEAD)
    if n_known < len(row):
        for i in range(len(row)):
            if row[i] != row[i]:
                whole[i] = BLANK
    return delta, zero
