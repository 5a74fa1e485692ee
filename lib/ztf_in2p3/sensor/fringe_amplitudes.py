"""How strong the fringes were on many exposures, and what is left without them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ztf_in2p3.identifiers import CcdExposure
from ztf_in2p3.recipes import FringeFitRecipe
from ztf_in2p3.robust_statistics import robust_sigma
from ztf_in2p3.sensor.fringe import CcdFringes, FringeMap, fit_fringes, sky_basis
from ztf_in2p3.sensor.fringe_cells import Cells
from ztf_in2p3.tables import Column, schema_of

FRINGE_AMPLITUDES = (
    Column("exposure", pa.int64(), "", "filefracday of the exposure, YYYYMMDDFFFFFF"),
    Column("ccd", pa.int8(), "", "CCD number, 1 to 16"),
    Column("qid", pa.int8(), "", "quadrant of the CCD, 1 to 4"),
    Column("sky", pa.float64(), "adu", "sky beside the fringes, per pixel"),
    Column("amplitude", pa.list_(pa.float64()), "adu", "root mean square of each component of the fringes"),
    Column("error", pa.list_(pa.float64()), "adu", "standard error of each"),
    Column("before", pa.float64(), "adu", "scatter of the cells of the sky, their noise taken out, smooth sky aside"),
    Column("after", pa.float64(), "adu", "the same without the fringes, the noise of the map put in"),
    Column("cell_noise", pa.float64(), "adu", "noise of a cell, from the variance of its pixels"),
    Column("n_cell", pa.int32(), "", "cells without sources that were used"),
)
"""One row an exposure and quadrant."""


def amplitude_table(
    skies: Iterable[tuple[CcdExposure, Mapping[int, Cells]]], fringes: CcdFringes, recipe: FringeFitRecipe
) -> pa.Table:
    """Columns of `FRINGE_AMPLITUDES`.

    The map knows a little of the noise of the exposures it is made of: as much variance as it brings into others,
    `Fringes.map_noise` squared, is missing there.  "After" is what would be left on other exposures: that much twice
    more.

    Parameters
    ----------
    skies
        CCD exposures with the cells of their quadrants by qid; those with hardly any sky are left out.

    Raises
    ------
    BadData
        As `ztf_in2p3.sensor.fringe.fit_fringes`.
    """
    rows = [
        _row(ccd, qid, cells, fringes.maps[qid], recipe)
        for ccd, by_qid in skies
        for qid, cells in sorted(by_qid.items())
        if cells.tell
    ]
    return pa.Table.from_pylist(rows, schema=schema_of(FRINGE_AMPLITUDES))


def without_sky(cells: Cells, pattern: NDArray, degree: int) -> NDArray[np.float64]:
    """Cells minus a pattern, (cell row, cell column), minus the polynomial that is then their sky; NaN as there.

    `pattern`: (cell row, cell column).
    """
    known, error = cells.known, cells.error[cells.known].astype(np.float64)
    level = cells.mean.astype(np.float64) - pattern
    basis = sky_basis(level.shape, degree)
    of_known = basis[:, known.ravel()] / error
    smooth = np.linalg.lstsq(of_known.T, level[known] / error)[0] @ basis
    return level - smooth.reshape(level.shape)


def _row(ccd: CcdExposure, qid: int, cells: Cells, of: FringeMap, recipe: FringeFitRecipe) -> dict[str, object]:
    fringes = fit_fringes(cells, of, recipe)
    pattern = np.tensordot(fringes.amplitude, of.patterns, 1)
    noise = float(np.nanmedian(cells.error))
    before, after = (_spread(without_sky(cells, part, recipe.sky_degree)) for part in (np.zeros_like(pattern), pattern))
    return {
        "exposure": int(ccd.exposure.filefracday),
        "ccd": ccd.ccdid,
        "qid": qid,
        "sky": fringes.sky,
        "amplitude": fringes.amplitude.tolist(),
        "error": fringes.error.tolist(),
        "before": _root(before - noise**2),
        "after": _root(after - noise**2 + 2 * fringes.map_noise**2),
        "cell_noise": noise,
        "n_cell": fringes.n_cell,
    }


def _spread(level: NDArray) -> float:
    """Robust variance."""
    return robust_sigma(level[np.isfinite(level)]) ** 2


def _root(variance: float) -> float:
    """Square root with the sign of the variance, which is that of a difference."""
    return float(np.copysign(np.sqrt(abs(variance)), variance))
