"""Noise of the sky in apertures: as large as measured, and as correlated."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.catalogue.background import Background
from ztf_in2p3.catalogue.circular_apertures import covered
from ztf_in2p3.catalogue.mesh import CLIP, Mesh, cell_statistics
from ztf_in2p3.compiled import compiled

LAGS = 4
"""Neighbours along a row whose correlation is measured: a pocket forgets a third or more in each pixel."""
_ROWS = 700
"""Rows that are looked at for it, about.  On a real quadrant a correlation is then known to 7e-4."""
_THIN = 4
"""Every so many-th row and column is looked at for the level of the variance plane."""
_PHASES = 4
"""Places of a star on its pixel, along each axis, over which the overlap of apertures is averaged."""


@dataclass(frozen=True, slots=True, eq=False)
class SkyNoise:
    """Noise of empty sky, as an aperture sums it.

    What is common to many exposures is not in it: the noise of the flat is that of each pixel, as the
    variance plane has it, but the same in all exposures that were divided by this flat.  Fluxes of a star that
    falls on the same pixels again share it, and averaging them does not reduce it.  Nor is what is no noise:
    sources too faint to be masked, and sky narrower than a cell of the mesh.  On a real, crowded quadrant
    (ztf_20200924431759_000655_zr_c13_o_q3) sums over blank sky scatter 1.13, 1.35, 1.57 and 1.82 times their
    errors at 3, 6, 9 and 12 pixels; with cells of 32 pixels instead of 128 1.07, 1.17, 1.27 and 1.36 times.
    """

    rms: Mesh
    """ADU, measured."""
    propagated: Mesh
    """ADU^2: level of the variance plane under the stars."""
    correlation: NDArray[np.float64]
    """(lag,): of pixels 1, 2, ... columns apart."""
    level_error: float
    """ADU: standard error of the sky's level, the same in all pixels of an aperture."""

    def correct(self, noise: NDArray, squares: NDArray, x: NDArray, y: NDArray, radii: tuple[float, ...]) -> NDArray:
        """Variance of sums over apertures, from that of pixels taken to be independent, as large as foretold.

        Parameters
        ----------
        noise : (star, radius), ADU^2
            Sums of w^2 variance over the pixels, of which the circle covers w.
        squares : (star, radius)
            Sums of w^2.
        x, y : (star,), pixels
        radii : (radius,), pixels
        """
        measured = self.rms.at(x, y)[:, np.newaxis] ** 2
        missing = measured - self.propagated.at(x, y)[:, np.newaxis]
        neighbours = 2 * overlaps(radii, len(self.correlation)) @ self.correlation
        area = np.pi * np.asarray(radii) ** 2
        total = noise + squares * (missing + measured * neighbours) + (area * self.level_error) ** 2
        return np.clip(total, 0, None)


def measure_noise(
    above: NDArray, variance: NDArray, background: Background, ignored: NDArray[np.bool_], *, box: int
) -> SkyNoise:
    """Noise of the sky beside the stars.

    Empty sky is the best witness of its own noise: on the archive's images it is 10 % larger than
    what the header's gain and read noise foretell.  What a star adds can only be propagated: its
    photons and, as the square of its counts, the noise of the flat.  So the level of the
    variance plane is replaced by the square of the measured noise, and what stands above
    that level is kept.  The variance plane is made of noisy counts, but a sum over an aperture is
    linear in them: it errs like gain times the flux itself, by 1 part in (gain x error in
    ADU), and the pulls show nothing of it.

    Where charge was put back that the pocket of the serial register had moved, the read noise of a
    pixel is larger, by 1 + dT/dn if T is what the pocket holds behind a pixel n, and the next pixels have the
    opposite of it: of a sum along a row only its two ends feel the pocket.  Measured on the sky, this holds for
    whatever made the noise correlated.  Under a star the pocket is fuller, dT/dn smaller,
    and the noise of the pixels and their correlation are both taken too large; in a sum they
    cancel.

    Parameters
    ----------
    above : (row, column), ADU
        Level of the sky subtracted.
    variance : (row, column), ADU^2
        Variance of each pixel: sky, source, read and calibration noise.
    ignored : (row, column)
        Bad pixels and stars, as for the background.
    box
        Pixels, as for the background.
    """
    propagated = cell_statistics(variance, ignored, box, thin=_THIN)
    every = max(1, len(above) // _ROWS)
    correlation = row_correlation(above[::every], ignored[::every], background.rms.plane(every))
    # A mean over many pixels feels the ends of rows even less than an aperture.
    whole = np.sqrt(max(0.0, 1 + 2 * correlation.sum()))
    return SkyNoise(
        background.rms,
        propagated.mesh(propagated.mean, propagated.count > 0, cubic=True),
        correlation,
        float(background.level_error * whole),
    )


def row_correlation(above: NDArray, ignored: NDArray[np.bool_], rms: NDArray[np.float32]) -> NDArray[np.float64]:
    """Correlation of the noise of pixels 1, 2, ... `LAGS` columns apart, (lag,).  All (row, column), ADU.

    It is known to 1 / sqrt(pixels); 0 where no such pairs are left.
    """
    native = np.ascontiguousarray(above, dtype=np.float32)
    pairs, products = _pair_sums(native, np.ascontiguousarray(ignored), rms, LAGS)
    with np.errstate(invalid="ignore", divide="ignore"):
        covariance = products / pairs
        return np.nan_to_num(covariance[1:] / covariance[0], nan=0.0, posinf=0.0, neginf=0.0)


@compiled
def _pair_sums(above, ignored, rms, lags):  # type: ignore[no-untyped-def]
    """Number of pairs of pixels 0, 1, ... `lags` columns apart, and sums of their products in units of the noise."""
    rows, columns = above.shape
    pairs, products = np.zeros(lags + 1), np.zeros(lags + 1)
    value, known = np.zeros(columns + lags, np.float32), np.zeros(columns + lags, np.float32)
    for row in range(rows):
        for i in range(columns):
            sigma = above[row, i] / rms[row, i]
            used = (abs(sigma) <= np.float32(CLIP)) & (not ignored[row, i])
            value[i] = sigma if used else np.float32(0)
            known[i] = np.float32(1) if used else np.float32(0)
        for lag in range(lags + 1):
            products[lag] += np.dot(value[:columns], value[lag : lag + columns])
            pairs[lag] += np.dot(known[:columns], known[lag : lag + columns])
    return pairs, products


@lru_cache(maxsize=16)
def overlaps(radii: tuple[float, ...], lags: int) -> NDArray[np.float64]:
    """Sums over an aperture's pixels of w_i w_(i + lag), of which it covers w, lag columns apart, over that of w_i^2.

    The mean over places of the star on its pixel, from which it departs by a few parts in a hundred.

    Returns
    -------
    (radius, lag), lags from 1
    """
    total = np.zeros((len(radii), lags + 1))
    places = (np.arange(_PHASES) + 0.5) / _PHASES - 0.5
    for k, radius in enumerate(radii):
        half = int(np.ceil(radius)) + 1
        offset = np.arange(-half, half + 1)
        for dy in places:
            for dx in places:
                w = np.array([[covered(i - dx, j - dy, radius) for i in offset] for j in offset])
                total[k] += [np.sum(w[:, lag:] * w[:, : max(0, w.shape[1] - lag)]) for lag in range(lags + 1)]
    return total[:, 1:] / total[:, :1]
