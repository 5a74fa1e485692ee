"""Rows of pixels from their RICE codes, compiled.

The code is that of the FITS standard 4.0, section 10.4.1, and of the tiled images of section 10.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ztf_in2p3.compiled import compiled

AHEAD = 16
"""Bytes that the decoder may look at beyond a tile's last: it fetches eight at a time, ahead of need."""
_EXACT_ZERO = -2147483646
"""What stands for 0.0 with the second kind of dither."""


def _count_leading_zeros(_typing: Any, _word: Any) -> tuple[Any, Any]:
    def build(_context, builder, _signature, args):  # type: ignore[no-untyped-def]
        return builder.ctlz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), build


_leading_zeros: Any = intrinsic(_count_leading_zeros)
"""Number of leading zeros of a uint64 that is not 0."""

_jit = compiled(nogil=True, boundscheck=False)


@_jit
def _word(heap, at):  # type: ignore[no-untyped-def]
    """Eight bytes from a place on, the first one highest."""
    word = np.uint64(0)
    for i in range(8):
        word = (word << np.uint64(8)) | np.uint64(heap[at + i])
    return word


@_jit
def _row(heap, at, end, differences):  # type: ignore[no-untyped-def]
    """Undo the Rice codes of one tile: its first value, then differences, zigzag-coded; False if the tile ends early.

    `word` holds the next bits of the stream at its upper end, at least `known` of them.
    """
    n = len(differences)
    u1, u6, u63 = np.uint64(1), np.uint64(56), np.uint64(63)
    word, known = np.uint64(0), np.uint64(0)
    limit = end + AHEAD - 8
    for start in range(0, n, 32):
        if at > limit:
            return False
        word |= _word(heap, at) >> known
        at += np.int64((u63 - known) >> np.uint64(3))
        known |= u6
        split = np.int64(word >> np.uint64(59)) - 1
        word <<= np.uint64(5)
        known -= np.uint64(5)
        stop = min(start + 32, n)
        if split < 0:
            for i in range(start, stop):
                differences[i] = 0
        elif split == 25:
            for i in range(start, stop):
                word |= _word(heap, min(at, limit)) >> known
                at += np.int64((u63 - known) >> np.uint64(3))
                known |= u6
                differences[i] = np.uint32(word >> np.uint64(32))
                word <<= np.uint64(32)
                known -= np.uint64(32)
        else:
            low = np.uint64(split)
            shift = u63 - low
            for i in range(start, stop):
                if known < np.uint64(40):
                    word |= _word(heap, min(at, limit)) >> known
                    at += np.int64((u63 - known) >> np.uint64(3))
                    known |= u6
                zeros = np.uint64(0)
                while word >> np.uint64(48) == 0:  # a long run of zeros, rare
                    if at > limit:
                        return False
                    zeros += np.uint64(16)
                    word <<= np.uint64(16)
                    known -= np.uint64(16)
                    word |= _word(heap, at) >> known
                    at += np.int64((u63 - known) >> np.uint64(3))
                    known |= u6
                run = _leading_zeros(word)
                used = run + u1 + low
                word <<= run + u1  # the one that ends the run goes with it
                zeros += run
                differences[i] = np.uint32((zeros << low) | (word >> u1 >> shift))
                word <<= low
                known -= used
    return at - np.int64(known >> np.uint64(3)) <= end


@_jit
def decode_tiles(heap, offset, length, scale, zero, dither, first, randoms, has_blank, blank, pixels):  # type: ignore[no-untyped-def]
    """Fill the rows that have a tile; returns the first whose tile is broken, or -1."""
    n_column = pixels.shape[1]
    values = np.empty(n_column, np.uint32)
    for r in range(len(offset)):
        if length[r] == 0:
            continue
        at, end = offset[r], offset[r] + length[r]
        if length[r] < 4 or not _row(heap, at + 4, end, values):
            return r
        value = np.int32(_word(heap, at) >> np.uint64(32))
        whole = values.view(np.int32)
        for i in range(n_column):
            difference = np.int32(values[i] >> np.uint32(1)) ^ -np.int32(values[i] & np.uint32(1))
            value = np.int32(value + difference)
            whole[i] = value
        row, a, b = pixels[r], scale[r], zero[r]
        if dither == 0:
            for i in range(n_column):
                row[i] = np.float32(whole[i] * a + b)
        else:
            seed = (first + r) % len(randoms)
            at_random = np.int64(randoms[seed] * np.float32(500))
            start = 0
            while start < n_column:
                stop = min(n_column, start + len(randoms) - at_random)
                for i in range(start, stop):
                    row[i] = np.float32((np.float64(whole[i]) - randoms[at_random + i - start] + 0.5) * a + b)
                start = stop
                seed = (seed + 1) % len(randoms)
                at_random = np.int64(randoms[seed] * np.float32(500))
            if dither == 2:
                for i in range(n_column):
                    if whole[i] == _EXACT_ZERO:
                        row[i] = 0
        if has_blank:
            for i in range(n_column):
                if whole[i] == blank[r]:
                    row[i] = np.nan
    return -1
