"""Measured minus true flux of simulated stars, and what statistics say about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ztf_in2p3.camera import Camera
from ztf_in2p3.figures.apertures import aperture_at, is_clean
from ztf_in2p3.identifiers import N_CCD, N_QUADRANT
from ztf_in2p3.robust_statistics import MEDIAN_PER_MEAN, SIGMA_PER_MAD, finite_median
from ztf_in2p3.tables import Column, schema_of
from ztf_in2p3.tables.column import numbers

MMAG = 2500 / np.log(10)
"""Millimagnitudes of a relative flux of 1, to first order."""
OUTLIER = 5.0
"""Pulls beyond it are counted, and left out of means and standard deviations: 1 in 2 million of a Gaussian."""
BRIGHT_MMAG = 10.0
"""Stars with a smaller error are called bright, the others faint."""
LEAST_STARS = 30
"""Fewest stars in a bin of magnitude."""

RESIDUALS = (
    Column("star_id", pa.int64(), "", "identifier in the reference catalogue"),
    Column("exposure", pa.int64(), "", "filefracday of the exposure, YYYYMMDDFFFFFF"),
    Column("rcid", pa.int8(), "", "readout channel, 4 (ccd - 1) + qid - 1"),
    Column("x", pa.float64(), "pix", "column in the quadrant as stored"),
    Column("y", pa.float64(), "pix", "row in the quadrant as stored"),
    Column("magnitude", pa.float64(), "mag", "true magnitude"),
    Column("residual", pa.float64(), "mmag", "1085.7 (flux - truth) / truth: positive where too much was measured"),
    Column("error", pa.float64(), "mmag", "standard deviation of the residual, from that of the flux"),
    Column("pull", pa.float64(), "", "(flux - truth) / standard deviation of the flux"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Running:
    """Residuals in bins of magnitude; arrays (bin,)."""

    magnitude: NDArray[np.float64]
    median: NDArray[np.float64]
    """mmag."""
    error: NDArray[np.float64]
    """mmag, of the median."""
    scatter: NDArray[np.float64]
    """mmag, robust standard deviation."""
    expected: NDArray[np.float64]
    """mmag, median of the catalogue's errors."""
    n: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Scatter:
    """Residuals of some stars as a few numbers; NaN without stars."""

    n: int
    bias_mmag: float
    """Weighted mean."""
    bias_error_mmag: float
    rms_mmag: float
    pull_mean: float
    pull_std: float
    n_outlier: int


@dataclass(frozen=True, slots=True, eq=False)
class ResidualMap:
    """Weighted mean residual in cells of each quadrant: arrays (row, column) as stored, by rcid; mmag."""

    mean: dict[int, NDArray[np.float64]]
    error: dict[int, NDArray[np.float64]]

    @property
    def pull(self) -> dict[int, NDArray[np.float64]]:
        """Mean over error."""
        return {rcid: self.mean[rcid] / self.error[rcid] for rcid in self.mean}

    @property
    def chi2_per_cell(self) -> float:
        """Mean square of the pulls: 1 if there is nothing but noise."""
        values = np.concatenate([np.ravel(pull) for pull in self.pull.values()] or [np.zeros(0)])
        values = values[np.isfinite(values)]
        return float(np.mean(values**2)) if values.size else float("nan")


def residuals(catalogue: pa.Table, truth: pa.Table, *, radius: float) -> pa.Table:
    """Residuals of the isolated stars that no bad pixel touches: columns of `RESIDUALS`.

    The difference is divided by the truth and not by the measurement, and no logarithm is taken, so
    that faint stars are not biased by their noise.

    Parameters
    ----------
    catalogue
        Catalogue of one exposure; columns of `ztf_in2p3.tables.catalogue_schema`.
    truth
        star_id, qid, magnitude, saturated, and flux: what the aperture should hold, ADU.
        Stars that are not in both are left out, saturated ones too.
    radius
        Radius of the aperture, pixels; the nearest one of the catalogue is taken.
    """
    if not (catalogue.num_rows and truth.num_rows):
        return schema_of(RESIDUALS).empty_table()
    k = aperture_at(catalogue, radius)
    row, match = _matches(catalogue, truth)
    flux, error = numbers(catalogue, f"f_{k}")[row], numbers(catalogue, f"f_{k}_e")[row]
    true = numbers(truth, "flux")[match]
    used = is_clean(catalogue, k)[row] & ~np.asarray(truth["saturated"].to_numpy(), bool)[match]
    used &= np.isfinite(flux) & (error > 0) & (true > 0)
    row, match = row[used], match[used]
    flux, error, true = flux[used], error[used], true[used]
    columns = {name: catalogue[name].to_numpy()[row] for name in ("star_id", "exposure", "rcid", "x", "y")} | {
        "magnitude": numbers(truth, "magnitude")[match],
        "residual": MMAG * (flux - true) / true,
        "error": MMAG * error / true,
        "pull": (flux - true) / error,
    }
    return pa.table(columns, schema=schema_of(RESIDUALS))


def running(table: pa.Table, *, width: float = 0.5) -> Running:
    """Medians of the residuals in bins of magnitude; bins of fewer than `LEAST_STARS` are left out.

    The error is that of a median, from the scatter.
    """
    magnitude, residual, error = (numbers(table, name) for name in ("magnitude", "residual", "error"))
    bins = np.floor(magnitude / width)
    rows = []
    for bin_number in np.unique(bins[np.isfinite(bins)]):
        of = bins == bin_number
        n, centre = int(of.sum()), finite_median(residual[of])
        if n >= LEAST_STARS:
            spread = SIGMA_PER_MAD * finite_median(np.abs(residual[of] - centre))
            middle = finite_median(magnitude[of])
            rows.append((middle, centre, MEDIAN_PER_MEAN * spread / np.sqrt(n), spread, finite_median(error[of]), n))
    columns = np.array(rows).T if rows else np.zeros((6, 0))
    return Running(columns[0], columns[1], columns[2], columns[3], columns[4], columns[5].astype(np.int64))


def scatter(table: pa.Table) -> Scatter:
    """Bias, scatter and pulls of all stars of a table."""
    residual, error, pull = (numbers(table, name) for name in ("residual", "error", "pull"))
    known = np.isfinite(pull)
    kept = known & (np.abs(pull) < OUTLIER)
    n, n_outlier = int(kept.sum()), int((known & ~kept).sum())
    if not n:
        nan = float("nan")
        return Scatter(0, nan, nan, nan, nan, nan, n_outlier)
    weight = error[kept] ** -2
    return Scatter(
        n,
        bias_mmag=float(np.average(residual[kept], weights=weight)),
        bias_error_mmag=float(weight.sum() ** -0.5),
        rms_mmag=float(np.sqrt(np.mean(residual[kept] ** 2))),
        pull_mean=float(pull[kept].mean()),
        pull_std=float(pull[kept].std(ddof=1)) if n > 1 else float("nan"),
        n_outlier=n_outlier,
    )


def bright_and_faint(table: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Rows of bright stars and rows of faint ones, by their errors."""
    bright = numbers(table, "error") < BRIGHT_MMAG
    return table.filter(pa.array(bright)), table.filter(pa.array(~bright))


def residual_map(table: pa.Table, camera: Camera, *, cells: int = 2) -> ResidualMap:
    """Weighted mean of the residuals in `cells` x `cells` cells of each quadrant, outliers left out.

    Cells without stars are NaN.
    """
    pull = numbers(table, "pull")
    used = np.abs(pull) < OUTLIER
    rows, columns = camera.shape
    row = np.clip((numbers(table, "y")[used] + 0.5) * cells // rows, 0, cells - 1).astype(int)
    column = np.clip((numbers(table, "x")[used] + 0.5) * cells // columns, 0, cells - 1).astype(int)
    rcid = table["rcid"].to_numpy()[used].astype(int)
    shape = (N_CCD * N_QUADRANT, cells, cells)
    cell = np.ravel_multi_index((rcid, row, column), shape)
    weight = numbers(table, "error")[used] ** -2
    sums = np.bincount(cell, weight, minlength=int(np.prod(shape))).reshape(shape)
    total = np.bincount(cell, weight * numbers(table, "residual")[used], minlength=int(np.prod(shape))).reshape(shape)
    with np.errstate(divide="ignore", invalid="ignore"):  # no star in a cell: NaN
        mean, error = total / sums, np.where(sums > 0, sums**-0.5, np.nan)
    present = np.unique(rcid).tolist()
    return ResidualMap(
        {channel: mean[channel] for channel in present}, {channel: error[channel] for channel in present}
    )


def _matches(catalogue: pa.Table, truth: pa.Table) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of both that are the same star on the same quadrant."""
    star, true_star = (np.asarray(table["star_id"].to_numpy(), np.int64) for table in (catalogue, truth))
    qid, true_qid = (np.asarray(table["qid"].to_numpy()) for table in (catalogue, truth))
    pairs = []
    for quadrant in np.unique(qid):
        ours, theirs = np.flatnonzero(qid == quadrant), np.flatnonzero(true_qid == quadrant)
        _, i, j = np.intersect1d(star[ours], true_star[theirs], return_indices=True)
        pairs.append((ours[i], theirs[j]))
    row, match = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return row, match
