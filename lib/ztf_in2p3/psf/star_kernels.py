"""Stars measured with a known PSF, and what their residuals say of it, compiled; one weight for all pixels.

Names as in `ztf_in2p3.psf.kernels`; a star's own parameters are [flux, x, y, sky].  The cache of compiled code knows
this file's date only: touch it when `ztf_in2p3.psf.kernels` changes.
"""

from __future__ import annotations

import math

import numpy as np

from ztf_in2p3.compiled import compiled
from ztf_in2p3.psf.kernels import draw_psf, spline_weights

_jit = compiled(fastmath={"contract", "nsz", "arcp"})


@_jit
def star_derivatives(psf, flux, keep, columns):  # type: ignore[no-untyped-def]
    """columns (pixel, 4): derivatives of a star's image by its own parameters, 0 where a pixel is not kept."""
    for p in range(psf.shape[1]):
        k = keep[p]
        columns[p, 0] = k * psf[0, p]
        columns[p, 1] = k * flux * psf[1, p]
        columns[p, 2] = k * flux * psf[2, p]
        columns[p, 3] = k


@_jit
def measure_star(moffat, psf_map, spacing, data, keep, parameters, n_pass, fixed, side):  # type: ignore[no-untyped-def]
    """Least squares on one star, from the start `own`, which is overwritten; `fixed`: the position is known."""
    n_pixel = side * side
    psf, columns = np.empty((3, n_pixel)), np.empty((n_pixel, 4))
    best = parameters.copy()
    for _ in range(n_pass):
        draw_psf(moffat, psf_map, spacing, best[1], best[2], side, side, psf)
        flux = best[0] if abs(best[0]) > 1e-30 else 1e-30
        star_derivatives(psf, flux, keep, columns)
        scale = np.ones(4)
        for a in range(4):
            for p in range(n_pixel):
                scale[a] += columns[p, a] ** 2
            scale[a] = math.sqrt(scale[a] - 1) if scale[a] > 1 else 1.0
        normal, right = np.zeros((4, 4)), np.zeros(4)
        for p in range(n_pixel):
            if keep[p]:
                residual = data[p] - best[0] * psf[0, p] - best[3]
                for a in range(4):
                    right[a] += columns[p, a] / scale[a] * residual
                    for b in range(a + 1):
                        normal[a, b] += columns[p, a] / scale[a] * columns[p, b] / scale[b]
        for a in range(4):
            for b in range(a):
                normal[b, a] = normal[a, b]
        if fixed:
            for a in range(1, 3):
                normal[a, :] = 0.0
                normal[:, a] = 0.0
                normal[a, a] = 1.0
                right[a] = 0.0
        for a in range(4):
            normal[a, a] += 1e-12
        step = np.linalg.solve(normal, right) / scale
        for a in range(1, 3):  # derivatives hold for half a pixel
            step[a] = min(max(step[a], -0.5), 0.5)
        best += step
        if abs(step[0]) < 1e-7 * abs(flux) and max(abs(step[1]), abs(step[2])) < 1e-6:
            break
        for a in range(1, 3):  # a star is not outside its stamp's middle half
            best[a] = min(max(best[a], side / 4), 0.75 * side)
    parameters[:] = best


@_jit
def add_to_map(spacing, n_map, x, y, flux, residual, q, keep, side, normal, right, cross_terms):  # type: ignore[no-untyped-def]
    """One star's part in the least squares for the residual map.

    normal (map, map) += B^T B, its lower triangle, right (map,) += B^T rest, crossed (column, map) = q^T B, with B the
    star's flux times the B-splines at its pixels, `rest` (pixel,) its residual and q (pixel, column) whatever else is
    fitted.
    """
    index, weight = np.empty(16, np.int64), np.empty(16)
    cross_terms[:] = 0.0
    for r in range(side):
        for c in range(side):
            p = r * side + c
            if not keep[p]:
                continue
            gx, gy = (c - x) / spacing + n_map // 2, (r - y) / spacing + n_map // 2
            i, j = math.floor(gx), math.floor(gy)
            wx, wy = spline_weights(gx - i), spline_weights(gy - j)
            n = 0
            for b in range(4):
                for a in range(4):
                    if 0 <= j - 1 + b < n_map and 0 <= i - 1 + a < n_map:
                        index[n] = (j - 1 + b) * n_map + i - 1 + a
                        weight[n] = flux * wy[b] * wx[a]
                        n += 1
            for a in range(n):
                row = normal[index[a]]
                right[index[a]] += weight[a] * residual[p]
                for k in range(q.shape[1]):
                    cross_terms[k, index[a]] += weight[a] * q[p, k]
                for b in range(a + 1):  # indices rise
                    row[index[b]] += weight[a] * weight[b]
