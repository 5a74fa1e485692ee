"""The scene: what is fitted, to what, and what comes out.

    D_ip = R_i (1 + r_i) [sum_j g_j K_i(p - T_i(u_j) - d_i) + f_i psi_i(p - T_i(u) - d_i)] + s_i

(Astier et al. 2013, A&A 557, A55, without a reference image: the exposures are never resampled).  Of exposure i:
R_i throughput, r_i and d_i what its error and that of the WCS leave, within their priors; s_i sky; f_i flux of the
transient; psi_i PSF; K_i the PSF convolved with a node of the galaxy; T_i WCS.  Common to all: g_j, u.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntFlag

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.psf.model import Psf

MOST_STRETCH = 0.2
"""Exposures whose pixels differ by more than a tenth are not fitted together."""


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Stamps around one position of the sky, square and of one size, exposure by exposure.

    The sky is a plane in pixels: `u` = (0, 0) is the catalogue position, and the pixel of the stamp (x, y), counted
    from the centre of its first, is origin + matrix @ u.  Fluxes and pixels share a unit (ADU, say).
    """

    mjd: NDArray[np.float64]
    data: NDArray
    """(exposure, row, column)."""
    bad: NDArray[np.bool_]
    """(exposure, row, column): pixels that are not to be used."""
    variance: NDArray[np.float64]
    """(exposure,): of a pixel with nothing but sky, read noise included."""
    gain: NDArray[np.float64]
    """(exposure,): electrons per unit of the data."""
    psf: tuple[Psf, ...]
    """One for each exposure, at the source."""
    origin: NDArray[np.float64]
    """(exposure, 2): x, y."""
    matrix: NDArray[np.float64]
    """(exposure, 2, 2): near a rotation or reflection; the pixels of all exposures are about the same size."""
    shift_error: NDArray[np.float64]
    """(exposure,): of the origin along each axis, pixels; 0: exact."""
    throughput: NDArray[np.float64]
    """(exposure,): R."""
    throughput_error: NDArray[np.float64]
    """(exposure,): relative; 0: exact."""
    active: NDArray[np.bool_]
    """(exposure,): the source may shine.  False: its flux is zero."""
    flux_floor: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """(exposure,): relative error of any flux of it, the PSF's (`ztf_in2p3.psf.size.flux_floor`); 0 if not given."""

    def __post_init__(self) -> None:
        n = len(self.data)
        if not len(self.flux_floor):
            object.__setattr__(self, "flux_floor", np.zeros(n))
        if self.data.ndim != 3 or self.data.shape[1] != self.data.shape[2] or self.bad.shape != self.data.shape:
            raise ValueError(f"data {self.data.shape} and bad {self.bad.shape}: expected one (exposure, side, side)")
        for name, shape in _SHAPES.items():
            if getattr(self, name).shape != (n, *shape):
                raise ValueError(f"{name} is of shape {getattr(self, name).shape}, expected {(n, *shape)}")
        if len(self.psf) != n:
            raise ValueError(f"{len(self.psf)} PSFs for {n} exposures")
        stretch = max(map(stretch_of, self.matrix), default=0.0)
        if stretch > MOST_STRETCH:
            raise ValueError(
                f"a matrix stretches the sky by {stretch / 2:.2f}: measure the sky in pixels, and fit cameras apart"
            )

    def __len__(self) -> int:
        return len(self.data)

    @property
    def side(self) -> int:
        """Rows, and columns, of a stamp."""
        return self.data.shape[1]


def stretch_of(matrix: NDArray) -> float:
    """How far a matrix (2, 2) is from a rotation or reflection: the largest element of M M^T - 1."""
    return float(np.abs(matrix @ matrix.T - np.eye(2)).max())


_SHAPES: dict[str, tuple[int, ...]] = {
    "mjd": (),
    "variance": (),
    "gain": (),
    "origin": (2,),
    "matrix": (2, 2),
    "shift_error": (),
    "throughput": (),
    "throughput_error": (),
    "active": (),
    "flux_floor": (),
}


class ExposureFlag(IntFlag):
    """Why an exposure has no flux, or one to look at."""

    QUIET = 1 << 0
    """The source does not shine by assumption: it serves to know the galaxy."""
    UNUSABLE = 1 << 1
    """No good pixels, or numbers that are none: not used at all."""
    MASKED = 1 << 2
    """Too little of the source lies on good pixels."""
    MANY_REJECTED = 1 << 3
    """More than 5 % of the pixels were rejected."""
    POOR_FIT = 1 << 4
    """chi2 is 5 standard deviations off its expectation."""
    TROUBLE = 1 << 5
    """A trail, a source of this exposure alone or a saturated core was found, and its pixels left out."""
    DROPPED = 1 << 6
    """Left out of the fit, since its pixels contradict the others."""
    INFLUENTIAL = 1 << 7
    """A quiet exposure without which some flux moves by more than three of its errors."""
    SHINES = 1 << 8
    """A quiet exposure that shows the source at more than five standard deviations: its window is too narrow."""


class FitFlag(IntFlag):
    """What to know about a fit as a whole."""

    POSITION_KEPT = 1 << 0
    """The source is too faint to tell its place: it was measured at the catalogue position."""
    POSITION_FAR = 1 << 1
    """The position moved by more than two standard deviations of its prior."""
    UNSETTLED = 1 << 2
    """The last pass still changed fluxes or rejected pixels."""
    POOR = 1 << 3
    """More than a third of the exposures fit poorly: the fluxes are not to be trusted beyond their inflated errors."""
    INFLUENCED = 1 << 4
    """One quiet exposure decides: see `ExposureFlag.INFLUENTIAL`."""
    SHINES_EARLY_OR_LATE = 1 << 5
    """More than a tenth of the quiet exposures show the source: the galaxy has some of its light."""

    @property
    def fails(self) -> bool:
        """Whether the light curve is not to be used as it is."""
        return bool(self & (FitFlag.UNSETTLED | FitFlag.POOR | FitFlag.SHINES_EARLY_OR_LATE))


@dataclass(frozen=True, slots=True, eq=False)
class SceneFit:
    """Light curve of the source, and everything that was fitted with it."""

    flux: NDArray[np.float64]
    """(exposure,): NaN where it was not measured."""
    measured: NDArray[np.bool_]
    covariance: NDArray[np.float64]
    """(measured, measured): of the fluxes, all that is common to them included."""
    position: NDArray[np.float64]
    """(2,) or, with proper motion, (4,): sky pixels from the catalogue position; pixels per year."""
    position_covariance: NDArray[np.float64]
    galaxy: NDArray[np.float64]
    """(y, x): flux of the nodes, the middle one at u = 0; empty for a star."""
    step: float
    sky: NDArray[np.float64]
    throughput_change: NDArray[np.float64]
    """(exposure,): r."""
    shift: NDArray[np.float64]
    """(exposure, 2): d, pixels."""
    chi2: NDArray[np.float64]
    """(exposure,)."""
    n_pixel: NDArray[np.int64]
    """(exposure,): used."""
    rejected: NDArray[np.bool_]
    """(exposure, row, column): by the fit, beyond those that were bad."""
    exposure_flag: NDArray[np.int64]
    """`ExposureFlag`s."""
    flag: FitFlag
    freedom: NDArray[np.float64]
    """(exposure,): degrees of freedom of chi2, the galaxy's parameters shared out among the exposures."""
    influence: NDArray[np.float64]
    """(exposure,): largest change of a flux without this quiet exposure, in its errors; NaN where it was not tried."""
    quiet_flux: NDArray[np.float64]
    """(exposure,): flux of the source in a quiet exposure, as if it alone of them were free; NaN for the others."""
    quiet_error: NDArray[np.float64]
    """(exposure,): standard deviation of it."""

    def __repr__(self) -> str:
        return f"SceneFit of {len(self.flux)} exposures, {int(self.measured.sum())} measured, {self.flag!r}"

    @property
    def error(self) -> NDArray[np.float64]:
        """(exposure,): standard deviation of each flux by itself."""
        error = np.full(len(self.flux), np.nan)
        error[self.measured] = np.sqrt(np.diag(self.covariance))
        return error

    def constant(self) -> tuple[float, float, float]:
        """The flux of a source that does not vary, its error, and chi2 with len(covariance) - 1 degrees of freedom."""
        flux = self.flux[self.measured]
        solved = np.linalg.solve(self.covariance, np.column_stack([np.ones(len(flux)), flux]))
        information = solved[:, 0].sum()
        mean = solved[:, 1].sum() / information
        return mean, information**-0.5, float((flux - mean) @ (solved[:, 1] - mean * solved[:, 0]))
