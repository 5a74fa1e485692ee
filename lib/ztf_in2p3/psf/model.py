"""The PSF at one place of one exposure, and over a quadrant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.psf.kernels import moffats_of_shapes
from ztf_in2p3.psf.stamp_kernels import draw_psf


@dataclass(frozen=True, slots=True, eq=False)
class Psf:
    """A Moffat profile, integrated over pixels, and what it lacks, as a cubic B-spline: the effective PSF."""

    moffat: NDArray[np.float64]
    """(4,): qxx, qxy, qyy (pixel^-2), beta; (1 + qxx x^2 + 2 qxy x y + qyy y^2)^-beta of unit integral."""
    residual: NDArray[np.float64]
    """(y, x): coefficients, odd in number, the middle one at the centre."""
    spacing: float
    """Pixels between coefficients."""
    ripple: NDArray[np.float64] = field(default_factory=lambda: np.zeros(4))
    """(4,): how the sum over pixels depends on the phase (`ztf_in2p3.psf.kernels.phase_factor`); divided out."""

    def __post_init__(self) -> None:
        qxx, qxy, qyy, beta = self.moffat
        if not (qxx > 0 and qxx * qyy > qxy**2 and beta > 1):
            raise ValueError(f"no profile of finite flux has the Moffat parameters {self.moffat}")
        if self.residual.shape[0] != self.residual.shape[1] or len(self.residual) % 2 == 0:
            raise ValueError(f"the residual map is {self.residual.shape}, expected a square of odd side")

    def __repr__(self) -> str:
        return f"Psf of FWHM {self.fwhm:.2f} pixels"

    @classmethod
    def round_moffat(cls, fwhm: float, beta: float) -> Psf:
        """The profile without a residual."""
        q = 4 * (2 ** (1 / beta) - 1) / fwhm**2
        return cls(np.array([q, 0.0, q, beta]), np.zeros((1, 1)), 1.0)

    @property
    def fwhm(self) -> float:
        """Width of the Moffat profile, before pixels blur it; pixels, geometric mean over directions."""
        qxx, qxy, qyy, beta = self.moffat
        return float(2 * np.sqrt(2 ** (1 / beta) - 1) / (qxx * qyy - qxy**2) ** 0.25)

    def widened(self, factor: float) -> Psf:
        """The same shape, `factor` times as wide, and pixels as large as before."""
        moffat = self.moffat / np.array([factor**2] * 3 + [1.0])
        return Psf(moffat, self.residual / factor**2, self.spacing * factor, self.ripple)

    @property
    def peak(self) -> float:
        """Share of the flux in the pixel on whose centre a star lies."""
        out = np.empty((3, 1))
        draw_psf(self.moffat, self.residual, float(self.spacing), np.zeros(4), 0.0, 0.0, 1, 1, out)
        return float(out[0, 0])

    def draw(self, x: float, y: float, shape: tuple[int, int]) -> NDArray[np.float64]:
        """(3, row, column): a source of unit flux at (x, y), and its derivatives by x and y."""
        out = np.empty((3, shape[0] * shape[1]))
        draw_psf(self.moffat, self.residual, float(self.spacing), self.ripple, float(x), float(y), *shape, out)
        return out.reshape(3, *shape)


@dataclass(frozen=True, slots=True, eq=False)
class Psfs:
    """PSFs at many places, as compiled functions take them; the fields are those of `Psf`, place by place."""

    moffat: NDArray[np.float64]
    """(place, 4)."""
    residual: NDArray[np.float64]
    """(place, y, x)."""
    spacing: NDArray[np.float64]
    """(place,)."""
    ripple: NDArray[np.float64]
    """(place, 4)."""

    @classmethod
    def of(cls, psfs: Sequence[Psf]) -> Psfs:
        """Collect PSFs whose maps are of one size."""
        return cls(*(np.array([getattr(psf, column.name) for psf in psfs], float) for column in fields(cls)))


@dataclass(frozen=True, slots=True, eq=False)
class PsfModel:
    """The PSF anywhere on a quadrant."""

    shape: NDArray[np.float64]
    """(4, term): of log width^2, two ellipticities and log(beta - 1) the value at `middle`, then how they change over
    the quadrant (`terms`); of the width its relative change."""
    middle: NDArray[np.float64]
    """(2,): x, y."""
    scale: float
    """Pixels of a unit of the polynomials."""
    residual: NDArray[np.float64]
    """(y, x), or (map term, y, x): what is added everywhere, then what is added with x, with y."""
    spacing: float
    """Spacing of the residual's coefficients at `middle`, pixels; it grows with the width."""
    ripple: NDArray[np.float64] = field(default_factory=lambda: np.zeros((1, 4)))
    """(map term, 4): see `Psf.ripple`."""
    flux_floor: float = 0.0
    """Relative; error of any flux measured with it, from what stars' widths scatter beyond their noise."""

    def __post_init__(self) -> None:
        if self.residual.ndim == 2:
            object.__setattr__(self, "residual", self.residual[None])

    def __repr__(self) -> str:
        return f"PsfModel of FWHM {self.at(self.middle).fwhm:.2f} pixels in the middle"

    @property
    def phase_error(self) -> float:
        """Relative standard deviation of the sum over pixels over the phases, before it is divided out."""
        return float(np.sqrt(np.sum(self.ripple[0] ** 2) / 2))

    def at(self, place: NDArray) -> Psf:
        """The PSF at a place of the quadrant (column, row), pixels."""
        there = self.over(np.asarray(place, float)[None])
        return Psf(there.moffat[0], there.residual[0], float(there.spacing[0]), there.ripple[0])

    def over(self, places: NDArray) -> Psfs:
        """The PSFs at places (place, 2) of the quadrant (column, row), pixels."""
        width, local = self.locals(places)
        terms, n_term = self.terms(places), len(self.residual)
        moffat = np.empty((len(places), 4))
        moffats_of_shapes(local, moffat)
        maps = terms[:, :n_term] / width[:, None] ** 2 @ self.residual.reshape(n_term, -1)
        residual = maps.reshape(len(places), *self.residual.shape[1:])
        return Psfs(moffat, residual, self.spacing * width, terms[:, : len(self.ripple)] @ self.ripple)

    def widened(self, factor: float) -> PsfModel:
        """See `Psf.widened`."""
        shape = self.shape.copy()
        shape[0, 0] += 2 * np.log(factor)
        residual, spacing = self.residual / factor**2, self.spacing * factor
        return replace(self, shape=shape, residual=residual, spacing=spacing)

    def locals(self, places: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Width (place,) at places (place, 2) in that at `middle`, and the shapes there (place, 4), see `shape`."""
        terms = self.terms(places)
        local = terms @ self.shape.T
        width = np.maximum(1 + terms[:, 1:] @ self.shape[0, 1:], 0.1)
        local[:, 0] = self.shape[0, 0] + 2 * np.log(width)
        return width, local

    def terms(self, place: NDArray) -> NDArray[np.float64]:
        """(term,) or (place, term): 1, x, y, x^2, x y, y^2 from `middle`, as many as there are."""
        x, y = ((place - self.middle) / self.scale).T
        return np.array([x * 0 + 1, x, y, x * x, x * y, y * y])[: self.shape.shape[1]].T
