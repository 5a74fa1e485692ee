"""One exposure's pixels against the model, compiled; one thread, float64."""

from __future__ import annotations

import math

import numpy as np

from ztf_in2p3.compiled import compiled

_jit = compiled(fastmath={"contract", "nsz", "arcp"})


@_jit
def border_level(light):  # type: ignore[no-untyped-def]
    """Median over the outermost pixels of a square stamp (row, column).

    Galaxy and sky share a level in any way, and the fit leaves it to the noise.  What is above the border makes photons
    besides the sky's own.
    """
    last = len(light) - 1
    rim = np.empty(4 * last)
    for k in range(last):
        rim[4 * k] = light[0, k]
        rim[4 * k + 1] = light[k, last]
        rim[4 * k + 2] = light[k + 1, 0]
        rim[4 * k + 3] = light[last, k + 1]
    return np.median(rim)


@_jit
def keep_pixels(residuals, start, above, photon, loose, clip, keep, pull, variance):  # type: ignore[no-untyped-def]
    """Which pixels (pixel,) to keep, and of all that were good at the start the pull on the model.

    Parameters
    ----------
    rest
        What the model leaves, whitened.
    above
        The model's light over its border; times `photon` its variance, times `loose` what it may be wrong by, whitened.
    clip
        Standard deviations beyond which a pixel is rejected.
    keep, pull, variance
        Written.
    """
    off, worst = np.empty(len(residuals)), 0.0
    for p in range(len(residuals)):
        variance[p] = 1 + photon * max(above[p], 0.0)
        residual = residuals[p] if start[p] else 0.0
        pull[p] = residual / math.sqrt(variance[p])
        off[p] = abs(residual) / math.sqrt(variance[p] + (loose * above[p]) ** 2)
        worst = max(worst, off[p])
    for p in range(len(residuals)):
        # A bad pixel drags its neighbours beyond the threshold: only the worst go, and only as long as they are.
        keep[p] = start[p] and not (off[p] > clip and off[p] > 0.5 * worst)


@_jit
def orthonormal(columns):  # type: ignore[no-untyped-def]
    """Q (column, row) and upper R (column, column) of columns (column, row), which Q overwrites.

    Gram-Schmidt, twice (Giraud et al. 2005, Numer. Math. 101, 87: enough for columns that float64 can tell apart).
    """
    n = len(columns)
    r = np.zeros((n, n))
    for k in range(n):
        for _ in range(2):
            for j in range(k):
                along = np.dot(columns[j], columns[k])
                r[j, k] += along
                columns[k] -= along * columns[j]
        r[k, k] = math.sqrt(np.dot(columns[k], columns[k]))
        if r[k, k] > 0:
            columns[k] /= r[k, k]
    return r
