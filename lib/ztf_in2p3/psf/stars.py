"""Stars of one exposure, cut out, and measured with a PSF.

A pixel's weight depends on where it lies in the PSF, not on the star's flux: a PSF that is a little wrong then misses
the same share of every star, faint or bright, and of the transient; with Poisson weights the share would depend on
the flux.  The errors do know the star's photons.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.psf.model import Psf, PsfModel, Psfs
from ztf_in2p3.psf.star_kernels import measure_batch

SOFT = 0.1
"""Softening of the pixel weights 1 / (P / P0 + SOFT): a star 1 % wider than the PSF then has 7.9 mmag more, with flat
weights 10.5; errors are 5 % smaller at magnitudes 15 to 17 of ZTF, 3 % larger at 20."""
FLAT = 1e6
"""`SOFT` for which all pixels weigh the same to a millionth."""
AT_ONCE = 256
"""Stars whose PSFs are held at a time."""


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
    full_well: float = np.inf
    """Pixel value beyond which the detector is saturated, ADU."""

    def __len__(self) -> int:
        return len(self.data)

    @property
    def side(self) -> int:
        """Rows, and columns, of a stamp."""
        return self.data.shape[1]

    def only(self, chosen: NDArray) -> StarStamps:
        """Stamps of some of the stars, by a mask or indices (star,)."""
        names = ("data", "bad", "corner", "expected")
        return replace(self, **{name: getattr(self, name)[chosen] for name in names})

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
            self.full_well,
        )

    @property
    def peak(self) -> NDArray[np.float64]:
        """(star,): highest good pixel of the middle, in units of full well; 0 where that is unknown."""
        middle = slice(self.side // 2 - 2, self.side // 2 + 3)
        pixels = np.where(self.bad, -np.inf, np.nan_to_num(self.data, nan=-np.inf))[:, middle, middle]
        return np.asarray(pixels.max(axis=(1, 2)) / self.full_well, np.float64)


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

    def only(self, chosen: NDArray) -> StarFluxes:
        """Photometry of some of the stars, by a mask or indices (star,)."""
        return StarFluxes(**{column.name: getattr(self, column.name)[chosen] for column in fields(self)})


def measure_stars(
    stamps: StarStamps,
    psf: PsfModel | Callable[[NDArray], Psf],
    *,
    fixed: bool = False,
    clip: float = 5.0,
    model_error: float = 0.03,
    start: NDArray | None = None,
    quick: bool = False,
    soft: float = SOFT,
) -> StarFluxes:
    """PSF photometry of the stars of an exposure.

    Parameters
    ----------
    psf
        The PSF over the quadrant, or a function that gives it at a pixel (x, y).
    fixed
        The expected positions are right; otherwise each star finds its own.
    clip, model_error
        Pixels beyond `clip` standard deviations are rejected, where the model's light may be wrong by `model_error`.
    start : (star, 4)
        [flux, x, y, sky] in the stamps; those of the expected positions if not given.
    quick
        Two steps from the start will do.
    soft
        A pixel weighs 1 / (P / P0 + soft), P0 the peak of the PSF P; infinite: all the same.
    """
    soft = min(soft, FLAT)
    n, side = len(stamps), stamps.side
    parameters = _first_guess(stamps) if start is None else start.copy()
    good = (np.isfinite(stamps.data) & ~stamps.bad).reshape(n, -1)
    data = np.where(good, stamps.data.reshape(n, -1), 0).astype(float)
    keep, model = good.copy(), np.zeros(data.shape)
    error, chi2, width = np.full((n, 4), np.nan), np.full(n, np.nan), np.full((n, 2), np.nan)
    passes = (2, 2, 2) if quick else (4, 5, 3)
    for first in range(0, n, AT_ONCE):
        part = slice(first, first + AT_ONCE)
        places = stamps.expected[part]
        psfs = psf.over(places) if isinstance(psf, PsfModel) else Psfs.of([psf(place) for place in places])
        measure_batch(
            psfs.moffat,
            psfs.residual,
            psfs.spacing,
            psfs.ripple,
            soft,
            data[part],
            good[part],
            parameters[part],
            fixed,
            clip,
            model_error,
            stamps.variance,
            stamps.gain,
            passes[0],
            passes[1],
            passes[2],
            keep[part],
            model[part],
            error[part],
            chi2[part],
            width[part],
            side,
        )
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


def _first_guess(stamps: StarStamps) -> NDArray[np.float64]:
    """[flux, x, y, sky] of each star; a flux at the border's level would give its position nothing to hold."""
    data = np.where(stamps.bad, np.nan, stamps.data)
    inside = np.zeros(data.shape[1:], bool)
    inside[2:-2, 2:-2] = True
    border = np.ma.masked_invalid(np.where(inside, np.nan, data))
    sky = np.ma.median(border, axis=(1, 2)).filled(0.0)
    flux = np.nansum(data - sky[:, None, None], axis=(1, 2))
    return np.column_stack([flux, stamps.expected - stamps.corner, sky])
