"""How a star's image changes with what is fitted: the star's own parameters, the profile's shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.psf.model import Psf, PsfModel, moffat_of
from ztf_in2p3.psf.star_kernels import star_derivatives
from ztf_in2p3.psf.stars import StarFluxes, StarStamps

EPS = 1e-4
NO_MAP = np.zeros((1, 1))


@dataclass(frozen=True, slots=True, eq=False)
class StarColumns:
    """One star under the current model."""

    psf: Psf
    x: float
    y: float
    flux: float
    keep: NDArray[np.bool_]
    """(pixel,)."""
    residual: NDArray[np.float64]
    """(pixel,): what the model leaves."""
    base: NDArray[np.float64]
    """(pixel, 4): orthonormal base of what flux, place and sky do."""
    shape: NDArray[np.float64]
    """(pixel, free): derivatives by what is free of the profile's shape, without what flux, place and sky can do."""


def star_columns(
    model: PsfModel, stamps: StarStamps, fluxes: StarFluxes, s: int, free: NDArray[np.bool_]
) -> StarColumns:
    """Star s.

    Parameters
    ----------
    free : (4, term)
        Of `model.shape`.
    """
    psf = model.at(stamps.expected[s])
    x, y = fluxes.place[s] - stamps.corner[s]
    flux, keep, square = (float(fluxes.flux[s]), fluxes.keep[s].ravel(), (stamps.side, stamps.side))
    image = psf.draw(x, y, square).reshape(3, -1)
    columns = np.empty((image.shape[1], 4))
    star_derivatives(image, flux, keep, columns)
    base = np.linalg.qr(columns)[0]
    residual = np.where(keep, stamps.data[s].ravel() - flux * image[0] - fluxes.sky[s], 0)

    width, local = model.local(stamps.expected[s])
    by_term = np.tile(model.terms(stamps.expected[s]), (4, 1))
    by_term[0, 1:] *= 2 / width  # of the width squared's logarithm by the width
    bare = Psf(psf.moffat, NO_MAP, 1.0).draw(x, y, square)[0].ravel()
    by_shape = np.zeros((4, len(keep)))
    for k in np.flatnonzero(free.any(axis=1)):
        varied = local.copy()
        varied[k] += EPS
        if k == 0 and len(psf.residual) > 1:  # the map grows with the width
            wide = Psf(moffat_of(varied), psf.residual * np.exp(-EPS), psf.spacing * np.exp(EPS / 2))
            by_shape[k] = (wide.draw(x, y, square)[0].ravel() - image[0]) / EPS
        else:
            by_shape[k] = (Psf(moffat_of(varied), NO_MAP, 1.0).draw(x, y, square)[0].ravel() - bare) / EPS
    shape = flux * (by_shape[:, None, :] * by_term[:, :, None])[free].T * keep[:, None]
    return StarColumns(psf, float(x), float(y), flux, keep, residual, base, shape - base @ (base.T @ shape))
