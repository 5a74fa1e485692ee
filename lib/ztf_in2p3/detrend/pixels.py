"""What is done to every pixel of a quadrant, compiled: one pass, a pixel's planes read once.

Operation by operation what numpy would do on float32 planes, so the results are numpy's bit for
bit (nothing is fused or reordered).  Arrays are (row, column).
"""

from __future__ import annotations

import numpy as np

from ztf_in2p3.compiled import compiled
from ztf_in2p3.image import MaskBit

_SATURATED, _NAN, _DEAD = (np.uint16(bit) for bit in (MaskBit.SATURATED, MaskBit.NAN, MaskBit.DEAD))
_ZERO, _ONE, _INFINITE = np.float32(0), np.float32(1), np.float32(np.inf)


@compiled
def to_light(pixels, offset, a, b, bias, full, ceiling, mask):  # type: ignore[no-untyped-def]
    """Raw ADU become linear ADU over offset (row,) and bias, in place: x / (a x^2 + b x + 1) - bias.

    Marked in the mask as saturated: what reaches the light `full` of a full pixel, or, raw, the `ceiling` of the
    converter.
    """
    for r in range(len(pixels)):
        row, dark, floor = pixels[r], bias[r], offset[r]
        _mark_above(row, ceiling, mask[r])
        for i in range(len(row)):
            x = row[i] - floor
            row[i] = x / ((x * a + b) * x + _ONE) - dark[i]
        _mark_above(row, full, mask[r])


@compiled
def _mark_above(row, limit, mask):  # type: ignore[no-untyped-def]
    """Mark as saturated what reaches the limit: few rows have such pixels, so they are counted first."""
    n = 0
    for i in range(len(row)):
        n += row[i] >= limit
    if n:
        for i in range(len(row)):
            if row[i] >= limit:
                mask[i] |= _SATURATED


@compiled
def to_image(light, variance, mask, bias_variance, flat, flat_variance, factor, read, per_adu, least):  # type: ignore[no-untyped-def]
    """Light becomes the image, in place, and its variance is written.

    `factor` / flat brings a pixel to the level of the focal plane; `read` is the variance of the
    read noise, `per_adu` that of the photons per ADU; a pixel whose flat is `least` or less is dead.
    """
    for r in range(len(light)):
        row, var, response, response_var, dark_var = light[r], variance[r], flat[r], flat_variance[r], bias_variance[r]
        n_bad = 0
        for i in range(len(row)):
            scale = factor / response[i]
            v = (max(row[i], _ZERO) * per_adu + read + dark_var[i]) * scale * scale
            image = row[i] * scale
            of_flat = image / response[i]
            v += of_flat * of_flat * response_var[i]
            row[i], var[i] = image, v
            n_bad += not ((response[i] > least) & (abs(v) < _INFINITE) & (abs(image) < _INFINITE))
        if n_bad:
            for i in range(len(row)):
                alive = response[i] > least
                if not (alive & (abs(var[i]) < _INFINITE) & (abs(row[i]) < _INFINITE)):
                    row[i] = var[i] = np.float32(np.nan)
                    mask[r, i] |= _NAN if alive else _NAN | _DEAD


@compiled
def count_bits(mask, n):  # type: ignore[no-untyped-def]
    """Pixels that have each of the first n bits of a mask set."""
    counts = np.zeros(n, np.int64)
    for r in range(len(mask)):
        row = mask[r]
        for i in range(len(row)):
            if row[i]:
                for bit in range(n):
                    counts[bit] += (row[i] >> np.uint16(bit)) & np.uint16(1)
    return counts
