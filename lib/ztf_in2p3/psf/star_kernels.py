"""Stars measured with a known PSF, and what their residuals say of it, compiled.

Names as in `ztf_in2p3.psf.kernels`; a star's own parameters are [flux, x, y, sky].  A pixel's weight is
1 / (P / P0 + soft), P the PSF there, P0 its peak: the same profile for every source of an exposure, whatever its flux.
"""

from __future__ import annotations

import math

import numpy as np

from ztf_in2p3.compiled import compiled
from ztf_in2p3.psf.stamp_kernels import draw_psf, psf_image

_jit = compiled(fastmath={"contract", "nsz", "arcp"})
_sums = compiled(fastmath={"contract", "nsz", "arcp", "reassoc"})
"""Sums over pixels, in any order: several at a time."""

WIDER = 1e-3
"""Relative; for the derivative of a star's image by its width."""


@_sums
def _dot(weight, left, right):  # type: ignore[no-untyped-def]
    """Sum of weight left right (pixel,) each."""
    total = 0.0
    for p in range(len(weight)):
        total += weight[p] * left[p] * right[p]
    return total


@_jit
def star_derivatives(psf, flux, keep, columns):  # type: ignore[no-untyped-def]
    """columns (4, pixel): derivatives of a star's image by its own parameters, 0 where a pixel is not kept."""
    for p in range(psf.shape[1]):
        k = 1.0 if keep[p] else 0.0
        columns[0, p] = k * psf[0, p]
        columns[1, p] = k * flux * psf[1, p]
        columns[2, p] = k * flux * psf[2, p]
        columns[3, p] = k


@_jit
def pixel_weights(psf, peak, soft, weight):  # type: ignore[no-untyped-def]
    """weight (pixel,), of a pixel without light 1."""
    for p in range(len(weight)):
        weight[p] = soft / (max(psf[0, p], 0.0) / peak + soft)


@_jit
def weighted_normal(columns, weight, scale, normal):  # type: ignore[no-untyped-def]
    """normal (column, column) of columns (column, pixel), each divided by its length, which goes to scale."""
    n = len(columns)
    for a in range(n):
        for b in range(a + 1):
            normal[a, b] = _dot(weight, columns[a], columns[b])
    for a in range(n):
        scale[a] = math.sqrt(normal[a, a]) if normal[a, a] > 0 else 1.0
    for a in range(n):
        for b in range(a + 1):
            normal[a, b] /= scale[a] * scale[b]
            normal[b, a] = normal[a, b]
        normal[a, a] += 1e-12


@_jit
def _factor(normal):  # type: ignore[no-untyped-def]
    """Replace a symmetric positive matrix by its Cholesky factor, in the lower triangle."""
    for a in range(len(normal)):
        for b in range(a + 1):
            total = normal[a, b]
            for k in range(b):
                total -= normal[a, k] * normal[b, k]
            normal[a, b] = math.sqrt(max(total, 1e-30)) if a == b else total / normal[b, b]


@_jit
def _solve(factor, right):  # type: ignore[no-untyped-def]
    """Replace right (n,) by the solution of the equations whose matrix has that Cholesky factor."""
    n = len(right)
    for a in range(n):
        for k in range(a):
            right[a] -= factor[a, k] * right[k]
        right[a] /= factor[a, a]
    for a in range(n - 1, -1, -1):
        for k in range(a + 1, n):
            right[a] -= factor[k, a] * right[k]
        right[a] /= factor[a, a]


@_jit
def measure_star(moffat, psf_map, spacing, ripple, peak, soft, data, keep, parameters, n_pass, fixed, side):  # type: ignore[no-untyped-def]
    """Least squares on one star, from the start `parameters`, which is overwritten; `fixed`: the position is known."""
    n_pixel = side * side
    psf, columns, weight = np.empty((3, n_pixel)), np.empty((4, n_pixel)), np.empty(n_pixel)
    normal, scale, step, residual = np.empty((4, 4)), np.empty(4), np.empty(4), np.empty(n_pixel)
    best = parameters.copy()
    for _ in range(n_pass):
        draw_psf(moffat, psf_map, spacing, ripple, best[1], best[2], side, side, psf)
        pixel_weights(psf, peak, soft, weight)
        flux = best[0] if abs(best[0]) > 1e-30 else 1e-30
        star_derivatives(psf, flux, keep, columns)
        weighted_normal(columns, weight, scale, normal)
        for p in range(n_pixel):
            residual[p] = data[p] - best[0] * psf[0, p] - best[3]
        for a in range(4):
            step[a] = _dot(weight, columns[a], residual) / scale[a]
        if fixed:
            for a in range(1, 3):
                normal[a, :] = 0.0
                normal[:, a] = 0.0
                normal[a, a] = 1.0
                step[a] = 0.0
        _factor(normal)
        _solve(normal, step)
        for a in range(4):
            step[a] /= scale[a]
        for a in range(1, 3):  # derivatives hold for half a pixel
            step[a] = min(max(step[a], -0.5), 0.5)
        for a in range(4):
            best[a] += step[a]
        if abs(step[0]) < 1e-7 * abs(flux) and max(abs(step[1]), abs(step[2])) < 1e-6:
            break
        for a in range(1, 3):  # a star is not outside its stamp's middle half
            best[a] = min(max(best[a], side / 4), 0.75 * side)
    parameters[:] = best


@_jit
def measure_batch(  # type: ignore[no-untyped-def]
    moffat,
    psf_map,
    spacing,
    ripple,
    soft,
    data,
    good,
    parameters,
    fixed,
    clip,
    model_error,
    sky_variance,
    gain,
    n_attempt,
    first_pass,
    later_pass,
    keep,
    model,
    error,
    chi2,
    width,
    side,
):
    """Photometry of stars (star, ...), each with its own PSF.

    parameters (star, 4), keep and model (star, pixel), error (star, 4), chi2 (star,), width (star, 2) are written.
    """
    n_pixel = side * side
    psf, columns, weight = np.empty((3, n_pixel)), np.empty((4, n_pixel)), np.empty(n_pixel)
    off, variance, wide = np.empty(n_pixel), np.empty(n_pixel), np.empty(n_pixel)
    normal, inverse, scale, response = np.empty((4, 4)), np.empty((4, 4)), np.empty(4), np.empty(n_pixel)
    without, middle = np.zeros(4), np.empty((3, 1))
    for s in range(len(data)):
        n_good = 0
        for p in range(n_pixel):
            n_good += good[s, p]
            keep[s, p] = good[s, p]
        if n_good < 0.2 * n_pixel:
            parameters[s] = np.nan
            continue
        draw_psf(moffat[s], psf_map[s], spacing[s], without, 0.0, 0.0, 1, 1, middle)
        peak = middle[0, 0]
        for attempt in range(n_attempt):
            n_pass = first_pass if attempt == 0 else later_pass
            if fixed:  # flux and sky are linear
                n_pass = 1
            measure_star(
                moffat[s],
                psf_map[s],
                spacing[s],
                ripple[s],
                peak,
                soft,
                data[s],
                keep[s],
                parameters[s],
                n_pass,
                fixed,
                side,
            )
            draw_psf(moffat[s], psf_map[s], spacing[s], ripple[s], parameters[s, 1], parameters[s, 2], side, side, psf)
            worst, changed = 0.0, False
            for p in range(n_pixel):
                light = parameters[s, 0] * psf[0, p]
                model[s, p] = light + parameters[s, 3]
                variance[p] = sky_variance + max(light, 0.0) / gain
                off[p] = abs(data[s, p] - model[s, p]) / math.sqrt(variance[p] + (model_error * light) ** 2)
                if good[s, p]:
                    worst = max(worst, off[p])
            for p in range(n_pixel):
                kept = good[s, p] and not (off[p] > clip and off[p] > 0.5 * worst)
                changed |= kept != keep[s, p]
            if not changed:
                break
            for p in range(n_pixel):
                keep[s, p] = good[s, p] and not (off[p] > clip and off[p] > 0.5 * worst)
        pixel_weights(psf, peak, soft, weight)
        star_derivatives(psf, parameters[s, 0], keep[s], columns)
        if fixed:
            columns[1:3] = 0.0
        weighted_normal(columns, weight, scale, normal)
        _factor(normal)
        total, n_kept = 0.0, 0
        for p in range(n_pixel):
            if keep[s, p]:
                total += (data[s, p] - model[s, p]) ** 2 / variance[p]
                n_kept += 1
        for a in range(4):
            inverse[a] = 0.0
            inverse[a, a] = 1.0 / scale[a]
            _solve(normal, inverse[a])
            for b in range(4):
                inverse[a, b] /= scale[b]
            for p in range(n_pixel):
                response[p] = weight[p] * (
                    inverse[a, 0] * columns[0, p]
                    + inverse[a, 1] * columns[1, p]
                    + inverse[a, 2] * columns[2, p]
                    + inverse[a, 3] * columns[3, p]
                )
            error[s, a] = math.sqrt(_dot(variance, response, response))
        if fixed:
            error[s, 1] = np.nan
            error[s, 2] = np.nan
        chi2[s] = total / n_kept if n_kept else np.nan
        _star_width(
            moffat[s],
            psf_map[s],
            spacing[s],
            psf,
            columns,
            weight,
            inverse,
            data[s],
            model[s],
            variance,
            keep[s],
            parameters[s],
            wide,
            width[s],
            side,
        )


@_jit
def _star_width(  # type: ignore[no-untyped-def]
    moffat,
    psf_map,
    spacing,
    psf,
    columns,
    weight,
    inverse,
    data,
    model,
    variance,
    keep,
    parameters,
    change,
    width,
    side,
):
    """width (2,): by how much a star is wider than the PSF, relative, to first order, and the error."""
    factor = 1 + WIDER
    wider = moffat.copy()
    wider[:3] /= factor**2
    psf_image(wider, psf_map / factor**2, spacing * factor, parameters[1], parameters[2], side, change)
    psf_image(moffat, psf_map, spacing, parameters[1], parameters[2], side, psf[1])
    for p in range(len(change)):
        change[p] = keep[p] * parameters[0] * (change[p] - psf[1, p]) / WIDER
    by_own = np.empty(4)
    for a in range(4):
        by_own[a] = _dot(weight, columns[a], change)
    for a in range(4):
        along = 0.0
        for b in range(4):
            along += inverse[a, b] * by_own[b]
        for p in range(len(change)):
            change[p] -= columns[a, p] * along
    size = 1e-300 + _dot(weight, change, change)
    value, noise = 0.0, 0.0
    for p in range(len(change)):
        if keep[p]:
            response = weight[p] * change[p] / size
            value += response * (data[p] - model[p])
            noise += response**2 * variance[p]
    width[0] = value
    width[1] = math.sqrt(noise)
