"""The PSF at one place of one exposure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lib.scene.kernels import draw_psf


@dataclass(frozen=True, slots=True, eq=False)
class Psf:
    """A Moffat profile and what it lacks, as a cubic B-spline; the effective PSF, pixels included."""

    moffat: NDArray[np.float64]
    """(4,): qxx, qxy, qyy (pixel^-2), beta; (1 + qxx x^2 + 2 qxy x y + qyy y^2)^-beta of unit integral."""
    residual: NDArray[np.float64]
    """(y, x): coefficients, odd in number, the middle one at the centre."""
    spacing: float
    """Pixels between coefficients."""

    def __post_init__(self) -> None:
        qxx, qxy, qyy, beta = self.moffat
        if not (qxx > 0 and qxx * qyy > qxy**2 and beta > 1):
            raise ValueError(f"no profile of finite flux has the Moffat parameters {self.moffat}")
        if self.residual.shape[0] != self.residual.shape[1] or len(self.residual) % 2 == 0:
            raise ValueError(f"the residual map is {self.residual.shape}, expected a square of odd side")

    @classmethod
    def round_moffat(cls, fwhm: float, beta: float) -> Psf:
        """Without a residual."""
        q = 4 * (2 ** (1 / beta) - 1) / fwhm**2
        return cls(np.array([q, 0.0, q, beta]), np.zeros((1, 1)), 1.0)

    @property
    def fwhm(self) -> float:
        """Of the Moffat profile, pixels; geometric mean over directions."""
        qxx, qxy, qyy, beta = self.moffat
        return float(2 * np.sqrt(2 ** (1 / beta) - 1) / (qxx * qyy - qxy**2) ** 0.25)

    def widened(self, factor: float) -> Psf:
        """The same shape, `factor` times as wide."""
        moffat = self.moffat / np.array([factor**2] * 3 + [1.0])
        return Psf(moffat, self.residual / factor**2, self.spacing * factor)

    def draw(self, x: float, y: float, shape: tuple[int, int]) -> NDArray[np.float64]:
        """(3, row, column): a source of unit flux at (x, y), and its derivatives by x and y."""
        out = np.empty((3, shape[0] * shape[1]))
        draw_psf(self.moffat, self.residual, float(self.spacing), float(x), float(y), *shape, out)
        return out.reshape(3, *shape)
