"""The galaxy's nodes drawn in an exposure, compiled; one thread.

Names as in `ztf_in2p3.psf.kernels`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from ztf_in2p3.compiled import compiled
from ztf_in2p3.psf.kernels import moffat_norm, moffat_pixel, spline_weights

_jit = compiled(fastmath={"contract", "nsz", "arcp"})

CELLS = 4
"""Cells of a galaxy table per pixel: aliases of a PSF of 2 pixels FWHM stay below 1e-5 of it."""
BOOLE = np.array([7.0, 32.0, 12.0, 32.0, 7.0]) / 90
"""Boole's rule over a pixel from samples at its edges, its quarters and its centre: cheap."""
PEAK = 8
"""Cells around the centre where it would not do for stars of less than 2 pixels FWHM."""
LANES = 8
"""Single-precision numbers that a processor takes at a time."""
GROUP = 24
"""Nodes drawn together, row by row: the rows of the table that they share stay in the processor's first cache."""


@_jit
def _sample(moffat, residual, spacing, half):  # type: ignore[no-untyped-def]
    """The PSF on a grid of 1 / CELLS pixel, `half` pixels to either side."""
    n, centre = 2 * half * CELLS, half * CELLS
    point, grid = np.empty((n, n)), np.zeros((n, n))
    norm, h = moffat_norm(moffat), 1.0 / CELLS
    beta = moffat[3]
    for b in range(centre + 1):
        v = (b - centre) * h
        for a in range(n):
            u = (a - centre) * h
            s = 1 + moffat[0] * u * u + 2 * moffat[1] * u * v + moffat[2] * v * v
            value = norm * math.exp(-beta * math.log(s))
            point[b, a] = value
            if b > 0 and a > 0:  # the Moffat is symmetric about its centre
                point[2 * centre - b, 2 * centre - a] = value
    for b in range(centre + 1, n):  # the first column has no mirror image on the grid
        v, u = (b - centre) * h, -half * 1.0
        s = 1 + moffat[0] * u * u + 2 * moffat[1] * u * v + moffat[2] * v * v
        point[b, 0] = norm * math.exp(-beta * math.log(s))
    rim = len(BOOLE) // 2  # the outermost half pixel, which nobody asks for, fades
    down = np.empty(n)
    for b in range(rim, n - rim):
        down[:] = 0.0
        for k in range(len(BOOLE)):
            w, source = BOOLE[k], point[b - rim + k]
            for a in range(n):
                down[a] += w * source[a]
        target = grid[b]
        for k in range(len(BOOLE)):
            w, source = BOOLE[k], down[k : n - 2 * rim + k]
            for a in range(n - 2 * rim):
                target[rim + a] += w * source[a]
    peak = min(PEAK, centre)
    for b in range(centre - peak, centre + peak + 1):
        for a in range(centre - peak, centre + peak + 1):
            grid[b, a] = moffat_pixel(moffat, norm, (a - centre) * h, (b - centre) * h)

    n_map = residual.shape[0]
    half_width = min(math.ceil((n_map // 2 + 2) * spacing / h), centre - 1)
    along = np.zeros((n_map, 2 * half_width + 1))  # residual, interpolated along x
    for k in range(2 * half_width + 1):
        g = (k - half_width) * h / spacing + n_map // 2
        i = math.floor(g)
        w = spline_weights(g - i)
        for a in range(4):
            if 0 <= i - 1 + a < n_map:
                for row in range(n_map):
                    along[row, k] += w[a] * residual[row, i - 1 + a]
    for k in range(2 * half_width + 1):
        g = (k - half_width) * h / spacing + n_map // 2
        i = math.floor(g)
        w = spline_weights(g - i)
        for b in range(4):
            if 0 <= i - 1 + b < n_map:
                for a in range(2 * half_width + 1):
                    grid[centre - half_width + k, centre - half_width + a] += w[b] * along[i - 1 + b, a]
    return grid


@_jit
def galaxy_table(moffat, residual, spacing, spread, taps, half):  # type: ignore[no-untyped-def]
    """(phase y, phase x, y, x) B-spline coefficients, 1 / CELLS pixel apart, of the PSF convolved with a galaxy node.

    A node is a cubic B-spline of unit integral; `taps` writes it in cubic B-splines of 1 / CELLS pixel, so that
    convolving the samples of the PSF with them gives the coefficients: exact but for aliases at CELLS cycles per
    pixel.  `spread` (xx, xy, yy) is what the node's covariance lacks in this exposure, where the sky's grid
    appears turned and stretched; a second derivative puts it in.  Phases apart, so that the pixels of a row,
    CELLS cells from one another, lie side by side.
    """
    grid = _sample(moffat, residual, spacing, half)
    n, half_taps = grid.shape[0], len(taps) // 2
    xx, xy, yy = spread
    if abs(xx) + abs(xy) + abs(yy) > 1e-9:
        before, c2 = grid.copy(), float(CELLS * CELLS)
        for b in range(1, n - 1):
            for a in range(1, n - 1):
                middle = before[b, a]
                across = before[b, a + 1] + before[b, a - 1] - 2 * middle
                down = before[b + 1, a] + before[b - 1, a] - 2 * middle
                corner = before[b + 1, a + 1] + before[b - 1, a - 1] - before[b + 1, a - 1] - before[b - 1, a + 1]
                grid[b, a] += 0.5 * c2 * (xx * across + yy * down + 0.5 * xy * corner)
    rows = np.zeros((n, n))
    for b in range(n):
        for k in range(-half_taps, half_taps + 1):
            if 0 <= b + k < n:
                w, source, target = taps[half_taps + k], grid[b + k], rows[b]
                for a in range(n):
                    target[a] += w * source[a]
    side = n // CELLS
    table = np.zeros((CELLS, CELLS, side, side), np.float32)
    line = np.empty(n)
    for b in range(n):
        line[:] = 0.0
        for k in range(-half_taps, half_taps + 1):
            w, low, high = taps[half_taps + k], max(0, -k), min(n, n - k)
            source, target = rows[b, low + k : high + k], line[low:high]
            for a in range(len(target)):
                target[a] += w * source[a]
        for phase in range(CELLS):
            target = table[b % CELLS, phase, b // CELLS]
            for i in range(side):
                target[i] = line[CELLS * i + phase]
    return table


def _spell_lanes(
    _typing: Any, table: Any, row: Any, column: Any, by_row: Any, by_column: Any, out: Any, to: Any
) -> tuple[Any, Any]:
    """out[to + k] = sum_ab by_row[a] by_column[b] table[row[a] + column[b] + k], k < LANES.

    Spelt for the processor: a compiler that must suppose `out` to overlap the table checks so at every row of a stamp,
    for longer than it draws.
    """
    single, double = (ir.VectorType(kind(), LANES) for kind in (ir.FloatType, ir.DoubleType))

    def generate(target: Any, builder: ir.IRBuilder, signature: Any, args: Sequence[ir.Value]) -> ir.Value:
        def at(array: int, index: ir.Value, lanes: ir.VectorType) -> ir.Value:
            start = target.make_array(signature.args[array])(target, builder, args[array]).data
            return builder.bitcast(builder.gep(start, [index]), lanes.as_pointer())

        def all_lanes(value: ir.Value) -> ir.Value:
            first = builder.insert_element(ir.Constant(single, ir.Undefined), value, ir.IntType(32)(0))
            return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))

        def weighted(values: list[ir.Value], weights: int) -> ir.Value:
            total = None
            for k, value in enumerate(values):
                term = builder.fmul(value, all_lanes(builder.extract_value(args[weights], k)), ("contract",))
                total = builder.fadd(total, term, ("contract",)) if total else term
            return total

        rows, columns = ([builder.extract_value(args[which], k) for k in range(4)] for which in (1, 2))
        along = [weighted([builder.load(at(0, builder.add(r, c), single), align=4) for c in columns], 4) for r in rows]
        builder.store(builder.fpext(weighted(along, 3), double), at(5, args[6], double), align=8)
        return target.get_dummy_value()

    return types.void(table, row, column, by_row, by_column, out, to), generate


_draw_lanes: Any = intrinsic(_spell_lanes)


@_jit
def draw_nodes(table, x, y, rows, columns, out):  # type: ignore[no-untyped-def]
    """out (node * row * column,): the image of each galaxy node at (x, y), pixels of the stamp; LANES columns or more.

    Unsigned indices, which cannot count from the end.
    """
    flat = table.reshape(-1)
    side, half = table.shape[2], table.shape[2] // 2
    stride, n_pixel, last = np.uint64(side), np.uint64(rows * columns), columns - LANES
    first = np.empty((GROUP, 2, 4), np.uint64)
    weight = np.empty((GROUP, 2, 4), np.float32)
    for start in range(0, len(x), GROUP):
        n = min(GROUP, len(x) - start)
        for j in range(n):
            gx, gy = (half - x[start + j]) * CELLS, (half - y[start + j]) * CELLS
            nx, ny = math.floor(gx), math.floor(gy)
            wx, wy = spline_weights(gx - nx), spline_weights(gy - ny)
            for k in range(4):
                cell_x, cell_y = nx - 1 + k, ny - 1 + k
                first[j, 0, k] = np.uint64((cell_y % CELLS) * CELLS * side * side + (cell_y // CELLS) * side)
                first[j, 1, k] = np.uint64((cell_x % CELLS) * side * side + cell_x // CELLS)
                weight[j, 0, k], weight[j, 1, k] = wy[k], wx[k]
        for r in range(np.uint64(rows)):
            for j in range(np.uint64(n)):
                f, w, s = first[j], weight[j], r * stride
                row = (f[0, 0] + s, f[0, 1] + s, f[0, 2] + s, f[0, 3] + s)
                by_row, by_column = (w[0, 0], w[0, 1], w[0, 2], w[0, 3]), (w[1, 0], w[1, 1], w[1, 2], w[1, 3])
                to = (np.uint64(start) + j) * n_pixel + r * np.uint64(columns)
                for c in range(0, columns, LANES):
                    along = np.uint64(min(c, last))  # the last lanes overlap those before
                    column = (f[1, 0] + along, f[1, 1] + along, f[1, 2] + along, f[1, 3] + along)
                    _draw_lanes(flat, row, column, by_row, by_column, out, to + along)


@_jit
def pick_pixels(nodes, chosen, weights, out):  # type: ignore[no-untyped-def]
    """out (node or more, pixel): of nodes (node, pixel) the pixels `some`, each times its weight."""
    for j in range(len(nodes)):
        source, target = nodes[j], out[j]
        for k in range(len(chosen)):
            target[k] = weights[k] * source[chosen[k]]
