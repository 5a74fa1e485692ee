"""What tells a radiation hit from a star, pixel by pixel, compiled.

For a star, whose image is a PSF, wherever its centre lies, the mean of two opposite neighbours of a pixel is at least
a share of the pixel itself: that of a star centred on the pixel.  The inequality is linear, so it holds for any sum of
stars, galaxies, trails and a smooth sky too; only what is sharper than the PSF breaks it.  (For pairs of neighbours
the idea is that of SDSS's photo; Lupton et al. 2001, ASP Conf. 238, 269.)

Planes are (row, column).  `light` is what lies over the sky, NaN where the pixel is unknown: comparisons with it fail.
"""

from __future__ import annotations

import numpy as np

from ztf_in2p3.compiled import compiled

N_DIRECTION = 4
"""Pairs of opposite neighbours: along the row, along the column, along both diagonals."""
_STEPS = np.array([(0, 1), (1, 0), (1, 1), (1, -1)])
QUIET = 3
"""Most pixels over the noise, of the 16 around the eight neighbours, of a place without a star."""


@compiled
def light_over_sky(data, variance, sky, thin, mask, unusable, least_sigma, light):  # type: ignore[no-untyped-def]
    """Write what lies over the sky to `light`, NaN where the pixel is unknown.

    `sky` has every `thin`-th row.  Unknown are pixels with one of the `unusable` bits, what is not finite, and what
    lies more than `least_sigma` standard deviations below the sky: no light does.
    """
    limit = np.float32(least_sigma * least_sigma)
    for r in range(len(data)):
        row, noise, level, bits, out = data[r], variance[r], sky[r // thin], mask[r], light[r]
        for i in range(len(row)):
            value = row[i] - level[i]
            usable = ((bits[i] & unusable) == 0) & (noise[i] < np.float32(np.inf)) & (abs(value) < np.float32(np.inf))
            usable &= (value > 0) | (value * value < limit * noise[i])
            out[i] = value if usable else np.float32(np.nan)


@compiled
def bright_pixels(light, variance, sigma):  # type: ignore[no-untyped-def]
    """Indices (pixel,) in the flat plane of pixels more than `sigma` standard deviations over the sky."""
    limit, columns = np.float32(sigma * sigma), light.shape[1]
    pixels = np.empty(max(light.size // 16, columns), np.int64)
    n = 0
    for r in range(len(light)):
        if n + columns > len(pixels):
            longer = np.empty(2 * len(pixels), np.int64)
            longer[:n] = pixels[:n]
            pixels = longer
        row, noise = light[r], variance[r]
        for i in range(columns):  # without a branch: every pixel is written, and kept if it is bright
            pixels[n] = r * columns + i
            n += (row[i] > 0) & (row[i] * row[i] > limit * noise[i])
    return pixels[:n].copy()


@compiled
def neighbour_ratios(light, variance, pixels, sigma):  # type: ignore[no-untyped-def]
    """Geometric mean of each pair of neighbours over the pixel, (pixel, direction).

    For a Gaussian profile it does not depend on where in the pixel the centre lies.  NaN where the pixel is no peak or
    not `sigma` standard deviations over the sky.
    """
    rows, columns = light.shape
    ratios = np.full((len(pixels), N_DIRECTION), np.nan)
    for k in range(len(pixels)):
        r, c = pixels[k] // columns, pixels[k] % columns
        if r < 1 or r >= rows - 1 or c < 1 or c >= columns - 1:
            continue
        centre = light[r, c]
        is_peak = centre * centre > sigma * sigma * variance[r, c]
        for d in range(N_DIRECTION):
            down, right = _STEPS[d, 0], _STEPS[d, 1]
            is_peak &= (light[r + down, c + right] <= centre) & (light[r - down, c - right] <= centre)
        if is_peak:
            for d in range(N_DIRECTION):
                down, right = _STEPS[d, 0], _STEPS[d, 1]
                product = light[r + down, c + right] * light[r - down, c - right]
                ratios[k, d] = np.sqrt(max(product, np.float32(0))) / centre
    return ratios


@compiled
def sharp_pixels(light, variance, pixels, least, sigma):  # type: ignore[no-untyped-def]
    """Which pixels (pixel,) are sharper than stars by `sigma` standard deviations.

    `least` (direction,): smallest mean of a pair over the pixel between it, for stars.
    """
    columns, square = light.shape[1], sigma * sigma
    sharp = np.zeros(len(pixels), np.bool_)
    for k in range(len(pixels)):
        r, c = pixels[k] // columns, pixels[k] % columns
        sharp[k] = (
            _pair(light, variance, r, c, 0, 1, least[0], square)
            or _pair(light, variance, r, c, 1, 0, least[1], square)
            or _cross(light, variance, r, c, (least[0] + least[1]) / 2, square)
            or _pair(light, variance, r, c, 1, 1, least[2], square)
            or _pair(light, variance, r, c, 1, -1, least[3], square)
            or _double(light, variance, r, c, 0, 1, least[0] ** 2, square)
            or _double(light, variance, r, c, 0, -1, least[0] ** 2, square)
            or _double(light, variance, r, c, 1, 0, least[1] ** 2, square)
            or _double(light, variance, r, c, -1, 0, least[1] ** 2, square)
        )
    return sharp


@compiled
def _pair(light, variance, r, c, down, right, least, square):  # type: ignore[no-untyped-def]
    """Whether `least` times a pixel exceeds the mean of two opposite neighbours, in variances by `square`."""
    if r < down or r + down >= len(light) or c < abs(right) or c + abs(right) >= light.shape[1]:
        return False
    excess = 2 * least * light[r, c] - light[r + down, c + right] - light[r - down, c - right]
    if not excess > 0:
        return False
    noise = variance[r + down, c + right] + variance[r - down, c - right]
    return excess * excess > square * (4 * least * least * variance[r, c] + noise)


@compiled
def _cross(light, variance, r, c, least, square):  # type: ignore[no-untyped-def]
    """The same with the mean of the four nearest neighbours."""
    if r < 1 or r + 1 >= len(light) or c < 1 or c + 1 >= light.shape[1]:
        return False
    around = light[r - 1, c] + light[r + 1, c] + light[r, c - 1] + light[r, c + 1]
    excess = 4 * least * light[r, c] - around
    if not excess > 0:
        return False
    noise = variance[r - 1, c] + variance[r + 1, c] + variance[r, c - 1] + variance[r, c + 1]
    return excess * excess > square * (16 * least * least * variance[r, c] + noise)


@compiled
def _double(light, variance, r, c, down, right, least, square):  # type: ignore[no-untyped-def]
    """The same for the pixel and the next one, with the two beyond: a hit that is two pixels wide."""
    if min(r - down, r + 2 * down, c - right, c + 2 * right) < 0:
        return False
    if max(r - down, r + 2 * down) >= len(light) or max(c - right, c + 2 * right) >= light.shape[1]:
        return False
    inner = light[r, c] + light[r + down, c + right]
    excess = least * inner - light[r - down, c - right] - light[r + 2 * down, c + 2 * right]
    if not excess > 0:
        return False
    inner_noise = variance[r, c] + variance[r + down, c + right]
    outer_noise = variance[r - down, c - right] + variance[r + 2 * down, c + 2 * right]
    return excess * excess > square * (least * least * inner_noise + outer_noise)


@compiled
def far_from(mask, pixels, bit, reach):  # type: ignore[no-untyped-def]
    """Which pixels (pixel,) have none with the bit in the square of `reach` pixels around."""
    rows, columns = mask.shape
    far = np.ones(len(pixels), np.bool_)
    for k in range(len(pixels)):
        r, c = pixels[k] // columns, pixels[k] % columns
        for row in range(max(0, r - reach), min(rows, r + reach + 1)):
            for column in range(max(0, c - reach), min(columns, c + reach + 1)):
                if mask[row, column] & bit:
                    far[k] = False
    return far


@compiled
def grow(light, variance, mask, hits, bit, least, over_sky, sigma):  # type: ignore[no-untyped-def]
    """Mark hits (pixel,) with the bit, then what touches them and belongs to them; returns how many pixels.

    That is a pixel `over_sky` standard deviations over the sky if there is no star around it, or
    one that is sharper than stars by `sigma` where its neighbour is in the hit already.
    """
    rows, columns = light.shape
    queue = np.empty(light.size if len(hits) * 64 > light.size else max(64, len(hits) * 64), np.int64)
    n = 0
    for pixel in hits:
        mask[pixel // columns, pixel % columns] |= bit
        queue[n] = pixel
        n += 1
    done = 0
    while done < n:
        r, c = queue[done] // columns, queue[done] % columns
        done += 1
        for row in range(max(0, r - 1), min(rows, r + 2)):
            for column in range(max(0, c - 1), min(columns, c + 2)):
                value = light[row, column]
                bright = value > 0 and value * value > over_sky * over_sky * variance[row, column]
                if not bright or mask[row, column] & bit or n == len(queue):
                    continue
                quiet = _is_quiet(light, variance, mask, row, column, bit, over_sky)
                if quiet or _is_sharp_beside(light, variance, mask, row, column, bit, least, sigma * sigma):
                    mask[row, column] |= bit
                    queue[n] = row * columns + column
                    n += 1
    return n


@compiled
def _is_quiet(light, variance, mask, r, c, bit, sigma):  # type: ignore[no-untyped-def]
    """Whether the rim of the 5 x 5 pixels around holds no star."""
    bright = 0
    for row in range(max(0, r - 2), min(len(light), r + 3)):
        for column in range(max(0, c - 2), min(light.shape[1], c + 3)):
            if (abs(row - r) == 2 or abs(column - c) == 2) and not mask[row, column] & bit:
                value = light[row, column]
                bright += value > 0 and value * value > sigma * sigma * variance[row, column]
    return bright <= QUIET


@compiled
def _is_sharp_beside(light, variance, mask, r, c, bit, least, square):  # type: ignore[no-untyped-def]
    """The same as `_pair` in any direction; the free neighbour stands for the opposite one where that is in the hit."""
    for d in range(N_DIRECTION):
        for sign in (-1, 1):
            down, right = sign * _STEPS[d, 0], sign * _STEPS[d, 1]
            if min(r + down, r - down, c + right, c - right) < 0:
                continue
            if max(r + down, r - down) >= len(light) or max(c + right, c - right) >= light.shape[1]:
                continue
            if mask[r + down, c + right] & bit and not mask[r - down, c - right] & bit:
                excess = least[d] * light[r, c] - light[r - down, c - right]
                noise = least[d] ** 2 * variance[r, c] + variance[r - down, c - right]
                if excess > 0 and excess * excess > square * noise:
                    return True
    return False
