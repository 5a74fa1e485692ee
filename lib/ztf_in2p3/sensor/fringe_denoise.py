"""A fringe pattern without most of its noise: where the sensor's thickness changes evenly a fringe is one wave.

So in a window of some cells a pattern is a few waves, and its noise is all of them.  Each wave is kept by as much of
it as is no noise (Wiener 1949); windows overlap.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

_STEP, _STEPS = 6, 4
"""Cells from one window to the next, and of those in a window: 24 cells.  Half and twice as many were no better."""
_CHANCE = 7.0
"""Power of a wave over the mean power of noise, which noise passes in one wave of 1100: exp(-7)."""
_ROUNDS = 12
"""One to find the waves, the others to weigh them and to carry them into cells that hardly any exposure sees."""
_BEST = 0.3
"""Share of the cells that are taken for equally well known, the best ones."""
_SIZE = _STEP * _STEPS
_TAPER = np.multiply.outer(*[np.sin(np.pi * (np.arange(_SIZE) + 0.5) / _SIZE) ** 2] * 2)
_COVER = (_STEPS / 2) ** 2
"""Sum of the tapers over a cell."""


def denoised(pattern: NDArray, variance: NDArray) -> tuple[NDArray[np.float64], float]:
    """The pattern, and the standard deviation of what is wrong with a cell of it: noise that stayed, waves that went.

    Cells are known differently well.  What is filtered is a mean of the pattern and of what the filter makes of it,
    in which each cell has the noise of the best (expectation and maximisation: Dempster et al. 1977, JRSS B 39, 1).

    Parameters
    ----------
    pattern, variance : (row, column)
        Cells with independent noise.
    """
    best = float(np.quantile(variance, _BEST))
    weight = np.minimum(best / variance, 1)
    smooth = uniform_filter(weight * pattern, 3) / uniform_filter(weight, 3)
    noise = best * (_TAPER**2).sum()
    for turn in range(_ROUNDS):
        filled = smooth + weight * (pattern - smooth)
        waves = np.fft.fft2(_windows(filled))
        if turn == 0:
            gain = (np.abs(waves) ** 2 > _CHANCE * noise).astype(float)
        else:
            power = np.abs(np.fft.fft2(_windows(smooth))) ** 2
            gain = power / (power + noise)
        smooth = _joined(np.fft.ifft2(gain * waves).real, pattern.shape)
    return smooth, float(np.sqrt(gain.mean() / np.mean(1 / variance)))


def _windows(cells: NDArray) -> NDArray[np.float64]:
    """(row of windows, column of windows, row, column), tapered; the map goes on beyond its rim as in a mirror."""
    beyond = [(_SIZE, _SIZE + -n % _STEP) for n in cells.shape]
    padded = np.pad(cells, beyond, mode="symmetric")
    return np.lib.stride_tricks.sliding_window_view(padded, _TAPER.shape)[::_STEP, ::_STEP] * _TAPER


def _joined(windows: NDArray, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Inverse of `_windows`."""
    down, across = windows.shape[:2]
    steps = windows.reshape(down, across, _STEPS, _STEP, _STEPS, _STEP)
    blocks = np.zeros((down + _STEPS - 1, across + _STEPS - 1, _STEP, _STEP))
    for i in range(_STEPS):
        for j in range(_STEPS):
            blocks[i : i + down, j : j + across] += steps[:, :, i, :, j]
    rows, columns = shape
    whole = blocks.transpose(0, 2, 1, 3).reshape(blocks.shape[0] * _STEP, -1)
    return whole[_SIZE : _SIZE + rows, _SIZE : _SIZE + columns] / _COVER
