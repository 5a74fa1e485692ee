"""Planes of masters in half the memory, for those who detrend many exposures of one CCD with one pair of masters.

Data are kept as whole steps of a sixteenth of their noise, what a master's file keeps too; variances as
the upper half of their bits.  Rows are unpacked when asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.compiled import compiled

STEPS = 16
"""Quantisation steps per standard deviation of the data's noise: they add 1/55 of it."""
_ESCAPE, _MOST = -32768, 32767
_ROWS, _SAMPLED = 256, 8
"""Rows packed at a time; one row in so many serves for the medians."""

Key = slice | tuple[slice, slice]


@dataclass(frozen=True, slots=True, eq=False)
class PackedData:
    """float32 (row, column) as int16 steps; what lies beyond them, or is no number, is kept as it is."""

    codes: NDArray[np.int16]
    zero: np.float32
    step: np.float32
    beyond: NDArray[np.int64]
    """Places in the flattened plane, rising."""
    values: NDArray[np.float32]
    """Values of the plane at those places."""

    @classmethod
    def of(cls, plane: NDArray[np.float32], variance: NDArray[np.float32]) -> Self:
        """`variance`: of the plane, whose median sets the steps.  Both planes are (row, column)."""
        known = variance[::_SAMPLED][variance[::_SAMPLED] > 0]
        finite = plane[::_SAMPLED][np.isfinite(plane[::_SAMPLED])]
        step = np.float32(np.sqrt(np.median(known)) / STEPS) if known.size else np.float32(1)
        zero = np.float32(np.median(finite)) if finite.size else np.float32(0)
        codes, outside = np.empty(plane.shape, np.int16), []
        for start in range(0, len(plane), _ROWS):
            rows = slice(start, start + _ROWS)
            with np.errstate(invalid="ignore", over="ignore"):
                steps = np.rint((plane[rows] - zero) / step)
                strange = ~(np.abs(steps) <= _MOST)
            steps[strange] = _ESCAPE
            codes[rows] = steps
            outside.append(np.flatnonzero(strange) + start * plane.shape[1])
        beyond = np.concatenate(outside)
        return cls(codes, zero, step, beyond, plane.ravel()[beyond])

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        return self.codes.shape

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, key: Key) -> NDArray[np.float32]:
        codes = np.ascontiguousarray(self.codes[key])
        plane = np.empty(codes.shape, np.float32)
        if _unpack(codes, self.zero, self.step, plane):
            rows, columns = key if isinstance(key, tuple) else (key, slice(None))
            n_row, n_column = self.codes.shape
            row, column = np.nonzero(codes == _ESCAPE)
            places = np.arange(n_row)[rows][row] * n_column + np.arange(n_column)[columns][column]
            plane[row, column] = self.values[np.searchsorted(self.beyond, places)]
        return plane


@dataclass(frozen=True, slots=True, eq=False)
class PackedVariance:
    """float32 (row, column) as the upper 16 of its bits, rounded: right to 1/256, NaN and 0 kept."""

    codes: NDArray[np.uint16]

    @classmethod
    def of(cls, plane: NDArray[np.float32]) -> Self:
        """Pack a plane of variances (row, column)."""
        codes = np.empty(plane.shape, np.uint16)
        for start in range(0, len(plane), _ROWS):
            part = np.ascontiguousarray(plane[start : start + _ROWS])
            codes[start : start + _ROWS] = (part.view(np.uint32) + np.uint32(0x8000)) >> np.uint32(16)
            codes[start : start + _ROWS][np.isnan(part)] = 0x7FC0
        return cls(codes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        return self.codes.shape

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, key: Key) -> NDArray[np.float32]:
        return (self.codes[key].astype(np.uint32) << np.uint32(16)).view(np.float32)


@compiled
def _unpack(codes, zero, step, plane):  # type: ignore[no-untyped-def]
    """Fill a plane; whether it has escapes."""
    n = 0
    for r in range(len(codes)):
        coded, row = codes[r], plane[r]
        for i in range(len(coded)):
            n += coded[i] == _ESCAPE
            row[i] = np.float32(coded[i]) * step + zero
    return n > 0
