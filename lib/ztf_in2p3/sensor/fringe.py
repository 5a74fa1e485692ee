"""Fringes of the sky's lines in zi: measured on an image with the maps of a period, and taken out.

Maps are principal components of many exposures (Medford et al. 2021, PASP 133, 064503, do so for ZTF), here of
cells of some pixels, since fringes are wider; how they are made is told in `ztf_in2p3.sensor.fringe_train`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Self

import numpy as np
from astropy.io import fits
from numpy.polynomial import legendre
from numpy.typing import NDArray

from ztf_in2p3.camera import Camera
from ztf_in2p3.errors import BadData
from ztf_in2p3.identifiers import N_QUADRANT
from ztf_in2p3.image import Image
from ztf_in2p3.products import Value
from ztf_in2p3.recipes import FringeFitRecipe
from ztf_in2p3.robust_statistics import Mask, refit, robust_sigma
from ztf_in2p3.sensor.fringe_cells import Cells, some_sky_cells, subtract_cells
from ztf_in2p3.store.fits import Cards, Plane, write_fits

_ROUNDS = 10
"""Rounds of clipping; two or three are needed."""
_CELLS_EACH = 10
"""Cells needed for each parameter of the fit."""


@dataclass(frozen=True, slots=True, eq=False)
class FringeMap:
    """Patterns of one quadrant."""

    patterns: NDArray[np.float32]
    """(component, cell row, cell column), a pure number of root mean square 1.  The strongest comes first."""
    noise: NDArray[np.float32]
    """(component,): standard deviation of a cell of a pattern, from the noise of the exposures it is made of."""
    count: NDArray[np.uint16]
    """(cell row, cell column): exposures that see the cell."""


@dataclass(frozen=True, slots=True, eq=False)
class CcdFringes:
    """Fringe maps of the quadrants of a CCD, by qid."""

    ccdid: int
    maps: Mapping[int, FringeMap]
    cards: Cards = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """One file: cards, then the planes Q1 (component, row, column), Q1_N and so on."""
        planes = []
        for qid, fringe_map in sorted(self.maps.items()):
            noise = {
                f"NOISE{k}": (float(value), f"of a cell of component {k}")
                for k, value in enumerate(fringe_map.noise, 1)
            }
            planes += [Plane(f"Q{qid}", fringe_map.patterns, "", noise), Plane(f"Q{qid}_N", fringe_map.count)]
        write_fits(path, planes, {"CCDID": (self.ccdid, "CCD number"), **self.cards})

    @classmethod
    def read(cls, path: Path, camera: Camera) -> Self:
        """Inverse of `write`.  BadData if the file holds no fringe maps, or of another camera."""
        try:
            with fits.open(path, memmap=False) as hdus:
                maps = {qid: _read_map(hdus, qid) for qid in range(1, N_QUADRANT + 1) if f"Q{qid}" in hdus}
                ccdid = int(hdus[0].header["CCDID"])
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise BadData(f"{path}: no fringe maps of a CCD ({error}); make them again") from error
        for qid, fringe_map in maps.items():
            n = np.divide(camera.shape, fringe_map.count.shape)
            if n[0] != n[1] or n[0] != int(n[0]):
                raise BadData(
                    f"{path}: Q{qid} has {fringe_map.count.shape} cells, which do not fill the {camera.shape} pixels "
                    f"of camera {camera.name!r}; is it of this camera?"
                )
        return cls(ccdid, maps)


@dataclass(frozen=True, slots=True, eq=False)
class Fringes:
    """What was found on one image."""

    amplitude: NDArray[np.float64]
    """(component,), ADU: root mean square of each pattern."""
    error: NDArray[np.float64]
    sky: float
    """Mean level beside the fringes, ADU."""
    n_cell: int
    """Cells that tell."""
    map_noise: float
    """ADU: standard deviation of a cell of what is subtracted, from the noise of the map."""

    @property
    def cards(self) -> dict[str, tuple[Value, str]]:
        """Cards for the header of an image without them."""
        cards: dict[str, tuple[Value, str]] = {}
        for k, (amplitude, error) in enumerate(zip(self.amplitude, self.error, strict=True), 1):
            cards[f"FRNGA{k}"] = (round(float(amplitude), 4), f"rms of fringe component {k} [adu]")
            cards[f"FRNGE{k}"] = (round(float(error), 4), "its standard error [adu]")
        return cards | {
            "FRNGSIG": (round(self.map_noise, 4), "noise of the pattern taken out [adu]"),
            "FRNGSKY": (round(self.sky, 3), "sky beside the fringes [adu]"),
            "FRNGCELL": (self.n_cell, "cells that tell of them"),
        }


def remove_fringes(image: Image, fringes: CcdFringes, qid: int, recipe: FringeFitRecipe) -> Fringes:
    """Measure the fringes on the sky of an image and subtract them in place.

    The variance stays: the photons of the fringes were counted in it, and what the maps' noise adds (`FRNGSIG`, in
    cells of some pixels, not in single ones) is a hundredth of the sky's with ten exposures in the map.

    Raises
    ------
    BadData
        The maps have no such quadrant, or too little sky is left between the sources.
    """
    if qid not in fringes.maps:
        raise BadData(f"no fringe map of quadrant {qid} of CCD {fringes.ccdid}; make the maps again")
    pattern_map = fringes.maps[qid]
    measured = fit_fringes(some_sky_cells(image, image.data.shape[0] // len(pattern_map.count)), pattern_map, recipe)
    subtract_cells(image.data, np.tensordot(measured.amplitude, pattern_map.patterns, 1))
    return measured


def fit_fringes(cells: Cells, of: FringeMap, recipe: FringeFitRecipe) -> Fringes:
    """Amplitudes of the patterns, jointly with a polynomial for the sky: weighted least squares, outliers clipped.

    Cells further off than `recipe.clip` robust standard deviations are left out and may come back: halos, ghosts and
    the wings of what was masked.  Errors are those of the fit times the scatter found.

    Raises
    ------
    BadData
        Fewer cells with sky than the fit needs.
    """
    n_map = len(of.patterns)
    basis = sky_basis(cells.mean.shape, recipe.sky_degree)
    design = np.concatenate([of.patterns.reshape(n_map, -1), basis])[:, cells.known.ravel()].astype(np.float64)
    n_parameter, n_cell = design.shape
    if n_cell < _CELLS_EACH * n_parameter:
        raise BadData(
            f"{n_cell} of {cells.mean.size} cells hold sky alone, {_CELLS_EACH * n_parameter} are needed to measure "
            "fringes; leave the exposure out, or detrend without fringes"
        )
    level, error = cells.mean[cells.known].astype(np.float64), cells.error[cells.known].astype(np.float64)
    design, target = design / error, level / error

    def fit(used: Mask) -> tuple[tuple[NDArray, NDArray, float], Mask]:
        normal = (design * used) @ design.T
        solution = np.linalg.solve(normal, design @ (used * target))
        pull = np.abs(target - solution @ design)
        scatter = max(robust_sigma(pull, 0.0), np.finfo(float).tiny)
        near = pull <= recipe.clip * scatter
        return (normal, solution, scatter), near if near.sum() >= _CELLS_EACH * n_parameter else used

    (normal, solution, scatter), used = refit(fit, np.ones(n_cell, bool), _ROUNDS)
    sigma: NDArray[np.float64] = np.sqrt(np.diag(np.linalg.inv(normal))) * max(scatter, 1.0)
    amplitude = np.asarray(solution[:n_map], np.float64)
    sky = float(solution[n_map] * basis[0, 0])
    noise = float(np.sqrt(((amplitude * of.noise) ** 2).sum()))
    return Fringes(amplitude, sigma[:n_map], sky, int(used.sum()), noise)


@lru_cache(maxsize=4)
def sky_basis(shape: tuple[int, ...], degree: int) -> NDArray[np.float64]:
    """Polynomials up to a total degree over the cells, of root mean square 1 and orthogonal: (term, cell).

    The first is the constant.  Do not write into it.
    """
    row, column = (np.linspace(-1, 1, n) for n in shape)
    along_rows, along_columns = legendre.legvander(row, degree).T, legendre.legvander(column, degree).T
    terms = [
        np.outer(along_rows[total - k], along_columns[k]).ravel()
        for total in range(degree + 1)
        for k in range(total + 1)
    ]
    q, r = np.linalg.qr(np.array(terms).T)
    basis = np.ascontiguousarray((q * np.sign(np.diag(r)) * np.sqrt(len(q))).T)
    basis.flags.writeable = False
    return basis


def _read_map(hdus: fits.HDUList, qid: int) -> FringeMap:
    patterns = np.asarray(hdus[f"Q{qid}"].data, np.float32)
    header = hdus[f"Q{qid}"].header
    noise = [header[f"NOISE{k}"] for k in range(1, len(patterns) + 1)]
    return FringeMap(patterns, np.array(noise, np.float32), np.asarray(hdus[f"Q{qid}_N"].data, np.uint16))
