"""Sums over the pixels in circles around stars, compiled: all radii in one pass over a star's surroundings."""

from __future__ import annotations

import math

import numba
import numpy as np

_jit = numba.njit(cache=True, error_model="numpy")


@_jit
def _corner(x, y, wide, high, radius):  # type: ignore[no-untyped-def]
    """Area of a disc around the origin within a rectangle in the first quadrant whose near corner is (x, y).

    The integral over t from x to x + wide of sqrt(radius^2 - t^2) - y, no more than `high` and no less than 0.
    """
    r2 = radius * radius
    top, bottom = y + high, y
    first = min(max(math.sqrt(max(r2 - top * top, 0.0)), x), x + wide)  # up to here the disc covers all heights
    last = min(max(math.sqrt(max(r2 - bottom * bottom, 0.0)), x), x + wide)  # and from here on none
    if last <= first:
        return (first - x) * high
    at_first, at_last = math.sqrt(max(r2 - first * first, 0.0)), math.sqrt(max(r2 - last * last, 0.0))
    # Sector between the two angles, then the triangles that make it the area below the arc.
    angle = math.atan2(last * at_first - first * at_last, at_first * at_last + first * last)
    below = 0.5 * (r2 * angle + last * at_last - first * at_first)
    return (first - x) * high + below - bottom * (last - first)


@_jit
def covered(x, y, radius):  # type: ignore[no-untyped-def]
    """Area of a disc around the origin within the pixel, a unit square, around (x, y)."""
    x, y = abs(x), abs(y)
    left, low = x - 0.5, y - 0.5
    if left >= 0.0 and low >= 0.0:
        return _corner(left, low, 1.0, 1.0, radius)
    # A pixel across an axis falls into mirrored parts.
    area = 0.0
    for beyond_x in range(2):
        wide = -left if beyond_x else min(x + 0.5, 1.0)
        for beyond_y in range(2):
            high = -low if beyond_y else min(y + 0.5, 1.0)
            if wide > 0.0 and high > 0.0:
                near_x = 0.0 if beyond_x else max(left, 0.0)
                near_y = 0.0 if beyond_y else max(low, 0.0)
                area += _corner(near_x, near_y, wide, high, radius)
    return area


@_jit
def _is_unknown(data, variance, bad, row, column):  # type: ignore[no-untyped-def]
    finite = (abs(data[row, column]) < np.inf) & (abs(variance[row, column]) < np.inf)
    return bad[row, column] or not finite


@_jit
def _from_neighbours(data, variance, bad, row, column):  # type: ignore[no-untyped-def]
    """Data and variance as the mean of the good ones of eight neighbours, which weigh as the inverse square of their
    distance; 0 without any."""
    value, noise, weight = 0.0, 0.0, 0.0
    for j in range(max(0, row - 1), min(len(data), row + 2)):
        for i in range(max(0, column - 1), min(data.shape[1], column + 2)):
            if not _is_unknown(data, variance, bad, j, i):
                near = 0.5 if j != row and i != column else 1.0
                value += near * data[j, i]
                noise += near * variance[j, i]
                weight += near
    if weight == 0.0:
        return 0.0, 0.0
    return value / weight, noise / weight


@_jit
def circle_sums(data, variance, bad, x, y, radii):  # type: ignore[no-untyped-def]
    """Sums over circles around stars.

    A pixel that is bad or not finite counts as the mean of its good neighbours.

    Parameters
    ----------
    data, variance, bad : (row, column)
    x, y : (star,), pixels
    radii : (radius,), pixels
        Growing.

    Returns
    -------
    (star, radius, 5)
        Sums over the pixels, of which the circle covers w, of w data, w^2 variance, w^2, w where
        the pixel is good, and 1 where it is bad.
    """
    rows, columns = data.shape
    n_radius = len(radii)
    reach = radii[n_radius - 1]
    whole = np.zeros((len(x), n_radius, 5))
    for star in range(len(x)):
        sums, part = whole[star], np.zeros((n_radius, 5))
        for row in range(max(0, math.ceil(y[star] - reach - 0.5)), min(rows, math.floor(y[star] + reach + 1.5))):
            dy = row - y[star]
            near_y, far_y = max(abs(dy) - 0.5, 0.0), abs(dy) + 0.5
            for column in range(
                max(0, math.ceil(x[star] - reach - 0.5)), min(columns, math.floor(x[star] + reach + 1.5))
            ):
                dx = column - x[star]
                near_x, far_x = max(abs(dx) - 0.5, 0.0), abs(dx) + 0.5
                near, far = near_x * near_x + near_y * near_y, far_x * far_x + far_y * far_y
                value, its_noise = float(data[row, column]), float(variance[row, column])
                spoilt = _is_unknown(data, variance, bad, row, column)
                if spoilt:
                    value, its_noise = _from_neighbours(data, variance, bad, row, column)
                for k in range(n_radius):
                    r2 = radii[k] * radii[k]
                    if r2 <= near:
                        continue
                    if r2 >= far:  # and so are all larger circles
                        sums[k, 0] += value
                        sums[k, 1] += its_noise
                        sums[k, 2] += 1.0
                        sums[k, 3] += 0.0 if spoilt else 1.0
                        sums[k, 4] += 1.0 if spoilt else 0.0
                        break
                    w = covered(dx, dy, radii[k])
                    part[k, 0] += w * value
                    part[k, 1] += w * w * its_noise
                    part[k, 2] += w * w
                    part[k, 3] += 0.0 if spoilt else w
                    part[k, 4] += 1.0 if spoilt else 0.0
        for k in range(1, n_radius):
            sums[k] += sums[k - 1]
        sums += part
    return whole
