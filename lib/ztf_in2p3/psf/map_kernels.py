"""Normal equations of a PSF's profile and of its residual map, star by star, compiled.

Names as in `ztf_in2p3.psf.kernels`.  The map is a sum of B-splines of several levels, `factor` spacings wide: at a
pixel 16 of each level are not zero, so that a star adds to some thousand elements a pixel, whatever the map's size.
"""

from __future__ import annotations

import math

import numpy as np

from ztf_in2p3.compiled import compiled
from ztf_in2p3.psf.kernels import moffat_of_shape, phase_factor, spline_weights
from ztf_in2p3.psf.stamp_kernels import draw_psf, psf_image
from ztf_in2p3.psf.star_kernels import pixel_weights, star_derivatives

_jit = compiled(fastmath={"contract", "nsz", "arcp"})

EPS = 1e-4
"""Step of the profile's parameters, for derivatives."""
MOST = 64
"""Splines at a pixel: 16 of each level."""


@_jit
def splines_at(u, v, spacing, factors, last, number, index, value):  # type: ignore[no-untyped-def]
    """Parameters index (n,), rising, and values of the splines that are not zero at (u, v) pixels; returns n.

    number (level, y, x): parameter of the spline at each node of a level, -1 where there is none; the middle one is
    at `last` of the level.
    """
    n = 0
    for level in range(len(factors)):
        step, side = spacing * factors[level], 2 * last[level] + 1
        gx, gy = u / step + last[level], v / step + last[level]
        i, j = math.floor(gx), math.floor(gy)
        wx, wy = spline_weights(gx - i), spline_weights(gy - j)
        for b in range(4):
            row = j - 1 + b
            for a in range(4):
                column = i - 1 + a
                if 0 <= row < side and 0 <= column < side and number[level, row, column] >= 0:
                    index[n] = number[level, row, column]
                    value[n] = wy[b] * wx[a]
                    n += 1
    return n


@_jit
def star_design(  # type: ignore[no-untyped-def]
    local, psf_map, spacing, ripple, soft, importance, x, y, flux, sky, data, keep, side, base, shape, rest
):
    """One star under the current model, everything times the root of the pixels' weights, which is returned.

    base (4, pixel): orthonormal, what flux, place and sky can do; shape (4, pixel): derivatives by the four local
    parameters of the profile, without that; rest (pixel,): the residual.
    """
    n_pixel = side * side
    moffat, varied, psf = np.empty(4), np.empty(4), np.empty((3, n_pixel))
    columns, root, image, other = np.empty((4, n_pixel)), np.empty(n_pixel), np.empty(n_pixel), np.empty(n_pixel)
    moffat_of_shape(local, moffat)
    draw_psf(moffat, psf_map, spacing, ripple, x, y, side, side, psf)
    at_peak = np.empty((3, 1))
    draw_psf(moffat, psf_map, spacing, np.zeros(4), 0.0, 0.0, 1, 1, at_peak)
    pixel_weights(psf, at_peak[0, 0], soft, root)
    star_derivatives(psf, flux, keep, columns)
    for p in range(n_pixel):
        root[p] = math.sqrt(root[p] * importance) * keep[p]
        rest[p] = root[p] * (data[p] - flux * psf[0, p] - sky)
        for a in range(4):
            base[a, p] = root[p] * columns[a, p]
    for k in range(4):  # Gram-Schmidt, twice
        for _ in range(2):
            for j in range(k):
                along = np.dot(base[j], base[k])
                base[k] -= along * base[j]
        length = math.sqrt(np.dot(base[k], base[k]))
        if length > 0:
            base[k] /= length
    nothing = np.zeros((1, 1))
    total = phase_factor(ripple, x, y)[0]
    psf_image(moffat, nothing, 1.0, x, y, side, image)
    for k in range(4):
        varied_local = local.copy()
        varied_local[k] += EPS
        moffat_of_shape(varied_local, varied)
        if k == 0 and len(psf_map) > 1:  # the map grows with the width
            psf_image(varied, psf_map * math.exp(-EPS), spacing * math.exp(EPS / 2), x, y, side, other)
            for p in range(n_pixel):
                shape[k, p] = root[p] * flux * (other[p] / total - psf[0, p]) / EPS
        else:
            psf_image(varied, nothing, 1.0, x, y, side, other)
            for p in range(n_pixel):
                shape[k, p] = root[p] * flux * (other[p] - image[p]) / EPS
        for _ in range(2):
            for j in range(4):
                along = np.dot(base[j], shape[k])
                shape[k] -= along * base[j]
    return root


@_jit
def add_shapes(  # type: ignore[no-untyped-def]
    local, psf_map, spacing, ripple, soft, importance, own, data, keep, side, free, by_term, normal, right
):
    """Add to normal (free, free) and right (free,) what stars (star, ...) say of the profile's shape.

    own (star, 4): flux, x, y, sky; free (free, 2): local parameter and term of each; by_term (star, 4, term):
    derivatives of the local parameters by the terms.
    """
    n, n_pixel = len(free), side * side
    base, shape, rest = np.empty((4, n_pixel)), np.empty((4, n_pixel)), np.empty(n_pixel)
    columns = np.empty((n, n_pixel))
    for s in range(len(data)):
        star_design(
            local[s],
            psf_map[s],
            spacing[s],
            ripple[s],
            soft,
            importance[s],
            own[s, 1],
            own[s, 2],
            own[s, 0],
            own[s, 3],
            data[s],
            keep[s],
            side,
            base,
            shape,
            rest,
        )
        for f in range(n):
            columns[f] = shape[free[f, 0]] * by_term[s, free[f, 0], free[f, 1]]
        normal += columns @ columns.T
        right += columns @ rest


@_jit
def add_maps(  # type: ignore[no-untyped-def]
    local,
    psf_map,
    spacing,
    ripple,
    soft,
    importance,
    own,
    data,
    keep,
    side,
    free,
    by_term,
    terms,
    size,
    factors,
    last,
    number,
    normal,
    right,
    mixed,
    by_shape,
    shape_right,
    crossed,
):
    """The same with the map: normal (pair of map terms, K, K), lower triangles, right (map term, K).

    terms (star, map term) at the stars; size (star,): of the local map in the common one; pairs (a, b <= a) in the
    order of a; mixed (free, map term, K) with the shape; crossed (star, 4, map term, K) with the stars' own base.
    """
    n, n_pixel, n_term, n_map = len(free), side * side, terms.shape[1], right.shape[1]
    base, shape, rest = np.empty((4, n_pixel)), np.empty((4, n_pixel)), np.empty(n_pixel)
    columns, block = np.empty((n, n_pixel)), np.empty((n_map, n_map))
    to_base, to_shape, to_rest = np.empty((4, n_map)), np.empty((4, n_map)), np.empty(n_map)
    index, value = np.empty(MOST, np.int64), np.empty(MOST)
    for s in range(len(data)):
        x, y, flux = own[s, 1], own[s, 2], own[s, 0]
        root = star_design(
            local[s],
            psf_map[s],
            spacing[s],
            ripple[s],
            soft,
            importance[s],
            x,
            y,
            flux,
            own[s, 3],
            data[s],
            keep[s],
            side,
            base,
            shape,
            rest,
        )
        block[:] = 0.0
        to_base[:] = 0.0
        to_shape[:] = 0.0
        to_rest[:] = 0.0
        for r in range(side):
            for c in range(side):
                p = r * side + c
                if not keep[s, p]:
                    continue
                k = splines_at(c - x, r - y, spacing[s], factors, last, number, index, value)
                scale = root[p] * flux * size[s]
                for a in range(k):
                    value[a] *= scale
                for a in range(k):
                    w, row, at = value[a], block[index[a]], index[a]
                    to_rest[at] += w * rest[p]
                    for m in range(4):
                        to_base[m, at] += w * base[m, p]
                        to_shape[m, at] += w * shape[m, p]
                    for b in range(a + 1):
                        row[index[b]] += w * value[b]
        along = base @ rest
        for a in range(n_map):
            to_rest[a] -= (
                to_base[0, a] * along[0]
                + to_base[1, a] * along[1]
                + to_base[2, a] * along[2]
                + to_base[3, a] * along[3]
            )
        pair = 0
        for i in range(n_term):
            for m in range(4):
                crossed[s, m, i] = terms[s, i] * to_base[m]
            right[i] += terms[s, i] * to_rest
            for j in range(i + 1):
                both, target = terms[s, i] * terms[s, j], normal[pair]
                for a in range(n_map):
                    for b in range(a + 1):
                        target[a, b] += both * block[a, b]
                pair += 1
            for f in range(n):
                mixed[f, i] += by_term[s, free[f, 0], free[f, 1]] * terms[s, i] * to_shape[free[f, 0]]
        for f in range(n):
            columns[f] = shape[free[f, 0]] * by_term[s, free[f, 0], free[f, 1]]
        by_shape += columns @ columns.T
        shape_right += columns @ rest
