"""Stars measured with a known PSF, and what their residuals say of it, compiled.

Names as in `ztf_in2p3.psf.kernels`; a star's own parameters are [flux, x, y, sky].  A pixel's weight is
1 / (P / P0 + soft), P the PSF there, P0 its peak: the same profile for every source of an exposure, whatever its flux.
"""

from __future__ import annotations

import math

import numpy as np

from ztf_in2p3.compiled import compiled
from ztf_in2p3.psf.kernels import draw_psf, psf_image

_jit = compiled(fastmath={"contract", "nsz", "arcp"})

WIDER = 1e-3
"""Relative; for the derivative of a star's image by its width."""


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
def pixel_weights(psf, peak, soft, weight):  # type: ignore[no-untyped-def]
    """weight (pixel,), of a pixel without light 1."""
    for p in range(len(weight)):
        weight[p] = soft / (max(psf[0, p], 0.0) / peak + soft)


@_jit
def weighted_normal(columns, weight, scale, normal):  # type: ignore[no-untyped-def]
    """normal (column, column) of columns (pixel, column), each divided by its length, which goes to scale."""
    n = columns.shape[1]
    normal[:] = 0.0
    for p in range(columns.shape[0]):
        for a in range(n):
            for b in range(a + 1):
                normal[a, b] += weight[p] * columns[p, a] * columns[p, b]
    for a in range(n):
        scale[a] = math.sqrt(normal[a, a]) if normal[a, a] > 0 else 1.0
    for a in range(n):
        for b in range(a + 1):
            normal[a, b] /= scale[a] * scale[b]
            normal[b, a] = normal[a, b]
        normal[a, a] += 1e-12


@_jit
def measure_star(moffat, psf_map, spacing, ripple, peak, soft, data, keep, parameters, n_pass, fixed, side):  # type: ignore[no-untyped-def]
    """Least squares on one star, from the start `parameters`, which is overwritten; `fixed`: the position is known."""
    n_pixel = side * side
    psf, columns, weight = np.empty((3, n_pixel)), np.empty((n_pixel, 4)), np.empty(n_pixel)
    normal, scale, right = np.empty((4, 4)), np.empty(4), np.empty(4)
    best = parameters.copy()
    for _ in range(n_pass):
        draw_psf(moffat, psf_map, spacing, ripple, best[1], best[2], side, side, psf)
        pixel_weights(psf, peak, soft, weight)
        flux = best[0] if abs(best[0]) > 1e-30 else 1e-30
        star_derivatives(psf, flux, keep, columns)
        weighted_normal(columns, weight, scale, normal)
        right[:] = 0.0
        for p in range(n_pixel):
            if keep[p]:
                residual = data[p] - best[0] * psf[0, p] - best[3]
                for a in range(4):
                    right[a] += weight[p] * columns[p, a] / scale[a] * residual
        if fixed:
            for a in range(1, 3):
                normal[a, :] = 0.0
                normal[:, a] = 0.0
                normal[a, a] = 1.0
                right[a] = 0.0
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
def measure_batch(  # type: ignore[no-untyped-def]
    moffat,
    psf_map,
    spacing,
    ripple,
    peak,
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
    psf, columns, weight = np.empty((3, n_pixel)), np.empty((n_pixel, 4)), np.empty(n_pixel)
    off, variance, wide = np.empty(n_pixel), np.empty(n_pixel), np.empty(n_pixel)
    normal, scale = np.empty((4, 4)), np.empty(4)
    for s in range(len(data)):
        n_good = 0
        for p in range(n_pixel):
            n_good += good[s, p]
            keep[s, p] = good[s, p]
        if n_good < 0.2 * n_pixel:
            parameters[s] = np.nan
            continue
        for attempt in range(n_attempt):
            n_pass = first_pass if attempt == 0 else later_pass
            measure_star(
                moffat[s],
                psf_map[s],
                spacing[s],
                ripple[s],
                peak[s],
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
        pixel_weights(psf, peak[s], soft, weight)
        star_derivatives(psf, parameters[s, 0], keep[s], columns)
        if fixed:
            columns[:, 1] = 0.0
            columns[:, 2] = 0.0
        weighted_normal(columns, weight, scale, normal)
        inverse = np.linalg.inv(normal)
        error[s] = 0.0
        total, n_kept = 0.0, 0
        for p in range(n_pixel):
            if not keep[s, p]:
                continue
            total += (data[s, p] - model[s, p]) ** 2 / variance[p]
            n_kept += 1
            for a in range(4):
                response = 0.0
                for b in range(4):
                    response += inverse[a, b] * columns[p, b] / scale[b]
                error[s, a] += (response * weight[p]) ** 2 * variance[p]
        for a in range(4):
            error[s, a] = math.sqrt(error[s, a]) / scale[a]
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
            scale,
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
    scale,
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
    along = np.zeros(4)
    for p in range(len(change)):
        change[p] = keep[p] * parameters[0] * (change[p] - psf[1, p]) / WIDER
        for a in range(4):
            along[a] += weight[p] * columns[p, a] / scale[a] * change[p]
    along = inverse @ along
    size = 1e-300
    for p in range(len(change)):
        for a in range(4):
            change[p] -= columns[p, a] / scale[a] * along[a]
        size += weight[p] * change[p] ** 2
    value, noise = 0.0, 0.0
    for p in range(len(change)):
        if keep[p]:
            response = weight[p] * change[p] / size
            value += response * (data[p] - model[p])
            noise += response**2 * variance[p]
    width[0] = value
    width[1] = math.sqrt(noise)
