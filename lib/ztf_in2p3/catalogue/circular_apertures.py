"""Sums over the pixels in circles around stars, compiled: all radii in one pass over a star's surroundings."""

from __future__ import annotations

import math

import numpy as np

from ztf_in2p3.compiled import compiled


@compiled
def _corner(x, y, width, height, radius):  # type: ignore[no-untyped-def]
    """Area of a disc around the origin within a rectangle in the first quadrant whose near corner is (x, y).

    The integral over t from x to x + wide of sqrt(radius^2 - t^2) - y, no more than `high` and no less than 0.
    """
    r2, end = radius * radius, x + width
    # Up to `first` the disc covers all heights, and from `last` on none; the disc's own height there.
    first, at_first = math.sqrt(max(r2 - (y + height) * (y + height), 0.0)), y + height
    if first < x:
        first, at_first = x, math.sqrt(max(r2 - x * x, 0.0))
    elif first >= end:
        return width * height
    elif at_first > radius:
        at_first = radius
    last, at_last = math.sqrt(max(r2 - y * y, 0.0)), y
    if last > end:
        last, at_last = end, math.sqrt(max(r2 - end * end, 0.0))
    if last <= first or y >= radius:
        return 0.0
    # The sector between the two angles, and the triangles that make it the area below the arc.
    angle = _small_angle((last * at_first - first * at_last) / r2)
    below = 0.5 * (r2 * angle + last * at_last - first * at_first)
    return (first - x) * height + below - y * (last - first)


@compiled
def _small_angle(sine):  # type: ignore[no-untyped-def]
    """Arc sine of up to a quarter of a turn; below 0.25 by its series, which is right to 2e-11."""
    if sine > 0.25:
        return math.asin(min(sine, 1.0))
    s2 = sine * sine
    series = 35 / 1152 + s2 * (63 / 2816 + s2 * (231 / 13312))
    return sine * (1 + s2 * (1 / 6 + s2 * (3 / 40 + s2 * (5 / 112 + s2 * series))))


@compiled
def covered(x, y, radius):  # type: ignore[no-untyped-def]
    """Area of a disc around the origin within the pixel, a unit square, around (x, y)."""
    x, y = abs(x), abs(y)
    left, low = x - 0.5, y - 0.5
    if left >= 0.0 and low >= 0.0:
        return _corner(left, low, 1.0, 1.0, radius)
    # A pixel across an axis falls into mirrored parts.
    area = 0.0
    for beyond_x in range(2):
        width = -left if beyond_x else min(x + 0.5, 1.0)
        for beyond_y in range(2):
            height = -low if beyond_y else min(y + 0.5, 1.0)
            if width > 0.0 and height > 0.0:
                near_x = 0.0 if beyond_x else max(left, 0.0)
                near_y = 0.0 if beyond_y else max(low, 0.0)
                area += _corner(near_x, near_y, width, height, radius)
    return area


@compiled
def _is_unknown(data, variance, bad, row, column):  # type: ignore[no-untyped-def]
    finite = (abs(data[row, column]) < np.inf) & (abs(variance[row, column]) < np.inf)
    return bad[row, column] or not finite


@compiled
def _from_neighbours(data, variance, bad, row, column):  # type: ignore[no-untyped-def]
    """Data and variance as the mean of the good ones of eight neighbours; 0 without any.

    They weigh as the inverse square of their distance.
    """
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


@compiled
def _touched_pixels(centre, radius, pixels):  # type: ignore[no-untyped-def]
    """First pixel along an axis that a circle may touch, and the one after the last."""
    return max(0, math.ceil(centre - radius - 0.5)), min(pixels, math.floor(centre + radius + 0.5) + 1)


@compiled
def circle_bits(mask, x, y, radius):  # type: ignore[no-untyped-def]
    """Bits of all pixels (row, column) that a circle around each star (star,) touches, or-ed."""
    bits = np.zeros(len(x), np.uint16)
    for star in range(len(x)):
        first, end = _touched_pixels(x[star], radius, mask.shape[1])
        for row in range(*_touched_pixels(y[star], radius, len(mask))):
            gap = max(abs(row - y[star]) - 0.5, 0.0)
            wide = radius * radius - gap * gap  # from the star to the nearest point of each pixel's square
            for column in range(first, end):
                if mask[row, column]:
                    gap = max(abs(column - x[star]) - 0.5, 0.0)
                    if gap * gap < wide:
                        bits[star] |= mask[row, column]
    return bits


@compiled
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
    largest_radius = radii[n_radius - 1]
    whole = np.zeros((len(x), n_radius, 5))
    for star in range(len(x)):
        sums, part = whole[star], np.zeros((n_radius, 5))
        first, end = _touched_pixels(x[star], largest_radius, columns)
        for row in range(*_touched_pixels(y[star], largest_radius, rows)):
            dy = row - y[star]
            near_y, far_y = max(abs(dy) - 0.5, 0.0), abs(dy) + 0.5
            for column in range(first, end):
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
            for i_sum in range(5):  # in whole rows it would take 2 s more to compile
                sums[k, i_sum] += sums[k - 1, i_sum]
        sums += part
    return whole
