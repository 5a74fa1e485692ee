"""Stars of one exposure, cut out: measured with a PSF, all pixels of the exposure weighing the same.

One weight for all: a PSF that is a little wrong then misses the same share of every star, faint or bright, and of
the transient; with Poisson weights the share would depend on the flux.  The errors do know the star's photons.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.psf.model import Psf
from ztf_in2p3.psf.star_kernels import measure_star, star_derivatives

WIDER = 1e-3
"""Relative; for the derivative of a star's image by its width."""


@dataclass(frozen=True, slots=True, eq=False)
class StarStamps:
    """Stamps of stars; (x, y) counts from the centre of a stamp's first pixel, which is pixel `corner`."""

    data: NDArray
    """(star, row, column), square; sky included."""
    bad: NDArray[np.bool_]
    corner: NDArray[np.int64]
    """(star, 2): x, y in the quadrant."""
    expected: NDArray[np.float64]
    """(star, 2): x, y in the quadrant according to the catalogue."""
    variance: float
    """Variance of a pixel of sky, ADU^2, read noise included."""
    gain: float

    def __len__(self) -> int:
        return len(self.data)

    @property
    def side(self) -> int:
        """Rows, and columns, of a stamp."""
        return self.data.shape[1]

    def only(self, chosen: NDArray) -> StarStamps:
        """Stamps of some of the stars, by a mask or indices (star,)."""
        return StarStamps(
            self.data[chosen], self.bad[chosen], self.corner[chosen], self.expected[chosen], self.variance, self.gain
        )

    def inner(self, margin: int) -> StarStamps:
        """The stamps without `margin` pixels at each edge."""
        core = slice(margin, self.side - margin)
        return StarStamps(
            self.data[:, core, core],
            self.bad[:, core, core],
            self.corner + margin,
            self.expected,
            self.variance,
            self.gain,
        )


@dataclass(frozen=True, slots=True, eq=False)
class StarFluxes:
    """PSF photometry; (star,) each."""

    flux: NDArray[np.float64]
    error: NDArray[np.float64]
    place: NDArray[np.float64]
    """(star, 2): x, y in the quadrant."""
    place_error: NDArray[np.float64]
    """(star, 2)."""
    sky: NDArray[np.float64]
    chi2: NDArray[np.float64]
    """Per degree of freedom, against the model's variance."""
    keep: NDArray[np.bool_]
    """(star, row, column): pixels used."""
    model: NDArray[np.float64]
    """(star, row, column): sky included."""
    width: NDArray[np.float64]
    """(star,): by how much each star is wider than the PSF, relative; to first order, whatever its flux."""
    width_error: NDArray[np.float64]
    """(star,)."""


def measure_stars(
    stamps: StarStamps,
    psf_at: Callable[[NDArray], Psf],
    *,
    fixed: bool = False,
    clip: float = 5.0,
    model_error: float = 0.03,
    start: NDArray | None = None,
    quick: bool = False,
) -> StarFluxes:
    """PSF photometry of the stars of an exposure.

    Parameters
    ----------
    psf_at
        The PSF at a pixel (x, y) of the quadrant.
    fixed
        The expected positions are right; otherwise each star finds its own.
    clip, model_error
        Pixels beyond `clip` standard deviations are rejected, where the model's light may be wrong by `model_error`.
    start : (star, 4)
        [flux, x, y, sky] in the stamps; those of the expected positions if not given.
    quick
        Two steps from the start will do.
    """
    n, side = len(stamps), stamps.side
    parameters = _first_guess(stamps) if start is None else start.copy()
    good = (np.isfinite(stamps.data) & ~stamps.bad).reshape(n, -1)
    data = np.where(good, stamps.data.reshape(n, -1), 0).astype(float)
    keep, model = good.copy(), np.zeros(data.shape)
    error, chi2, width = np.full((n, 4), np.nan), np.full(n, np.nan), np.full((n, 2), np.nan)
    for s in range(n):
        if good[s].mean() < 0.2:
            parameters[s] = np.nan
            continue
        psf = psf_at(stamps.expected[s])
        how = (psf.moffat, psf.residual, float(psf.spacing))
        for attempt in range(2 if quick else 4):
            n_pass = 2 if quick else 5 if attempt == 0 else 3
            measure_star(*how, data[s], keep[s], parameters[s], n_pass, fixed, side)
            image = psf.draw(parameters[s, 1], parameters[s, 2], (side, side)).reshape(3, -1)
            light = parameters[s, 0] * image[0]
            model[s] = light + parameters[s, 3]
            variance = stamps.variance + np.maximum(light, 0) / stamps.gain
            off = np.abs(data[s] - model[s]) / np.sqrt(variance + (model_error * light) ** 2) * good[s]
            kept = good[s] & ~((off > clip) & (off > 0.5 * off.max()))
            if np.array_equal(kept, keep[s]):
                break
            keep[s] = kept
        columns = np.empty((side * side, 4))
        star_derivatives(image, parameters[s, 0], keep[s], columns)
        columns = columns[:, [0, 3]] if fixed else columns
        error[s, [0, 3] if fixed else slice(None)] = _errors(columns, variance)
        residual = np.where(keep[s], data[s] - model[s], 0)
        chi2[s] = np.mean(residual[keep[s]] ** 2 / variance[keep[s]])
        wider = psf.widened(1 + WIDER).draw(parameters[s, 1], parameters[s, 2], (side, side))[0].ravel()
        width[s] = _amplitude(parameters[s, 0] * (wider - image[0]) / WIDER * keep[s], columns, residual, variance)
    shape = stamps.data.shape
    return StarFluxes(
        parameters[:, 0],
        error[:, 0],
        parameters[:, 1:3] + stamps.corner,
        error[:, 1:3],
        parameters[:, 3],
        chi2,
        keep.reshape(shape),
        model.reshape(shape),
        width[:, 0],
        width[:, 1],
    )


def _errors(columns: NDArray, variance: NDArray) -> NDArray[np.float64]:
    """Errors of parameters fitted with one weight for pixels whose variances (pixel,) differ; columns (pixel, n)."""
    size = np.sqrt(np.sum(columns**2, axis=0)) + 1e-300
    scaled = columns / size
    response = np.linalg.solve(scaled.T @ scaled + 1e-12 * np.eye(len(size)), scaled.T)
    errors: NDArray[np.float64] = np.sqrt(response**2 @ variance) / size
    return errors


def _amplitude(change: NDArray, columns: NDArray, residual: NDArray, variance: NDArray) -> tuple[float, float]:
    """Amplitude of a change (pixel,) in the residual of a fit of `columns` (pixel, n), and its error; see `_errors`."""
    base = np.linalg.qr(columns)[0]
    change = change - base @ (base.T @ change)
    response = change / (change @ change + 1e-300)
    return float(response @ residual), float(np.sqrt(response**2 @ variance))


def _first_guess(stamps: StarStamps) -> NDArray[np.float64]:
    """[flux, x, y, sky] of each star; a flux at the border's level would give its position nothing to hold."""
    data = np.where(stamps.bad, np.nan, stamps.data)
    inside = np.zeros(data.shape[1:], bool)
    inside[2:-2, 2:-2] = True
    border = np.ma.masked_invalid(np.where(inside, np.nan, data))
    sky = np.ma.median(border, axis=(1, 2)).filled(0.0)
    flux = np.nansum(data - sky[:, None, None], axis=(1, 2))
    return np.column_stack([flux, stamps.expected - stamps.corner, sky])
