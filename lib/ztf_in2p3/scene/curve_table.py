"""A fitted light curve as a table, and its pixels as images."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ztf_in2p3.products import Value
from ztf_in2p3.psf.errors import NoStars
from ztf_in2p3.psf.goodness import magnitude_slope
from ztf_in2p3.recipes import LightCurveRecipe
from ztf_in2p3.scene.curve import Assembled
from ztf_in2p3.scene.design import Design, Nodes
from ztf_in2p3.scene.elimination import FLUX, N_NUISANCE, ExposureModel, SceneState
from ztf_in2p3.scene.model import ExposureFlag, FitFlag, SceneFit, Series
from ztf_in2p3.scene.target import Target
from ztf_in2p3.store.fits import Plane
from ztf_in2p3.tables import LIGHT_CURVE, schema_of

DETECTED, LIMIT = 3.0, 5.0
"""Standard deviations from which a flux has a magnitude, and of an upper limit (as in ZTF's forced photometry, Masci et
al. 2023, arXiv:2305.16279)."""
SHOWN = (
    ExposureFlag.POOR_FIT,
    ExposureFlag.MANY_REJECTED,
    ExposureFlag.TROUBLE,
    ExposureFlag.DROPPED,
    ExposureFlag.INFLUENTIAL,
    ExposureFlag.SHINES,
)
"""Flags whose exposures the summary counts."""


@dataclass(frozen=True, slots=True)
class Unused:
    """An exposure of the target that is not in the fit."""

    name: str
    mjd: float
    reason: str


def light_curve_table(
    assembled: Assembled, fit: SceneFit, target: Target, band: str, unused: Sequence[Unused], recipe: LightCurveRecipe
) -> pa.Table:
    """Columns `ztf_in2p3.tables.LIGHT_CURVE`; what holds for the curve as a whole is in the schema's metadata."""
    series, ratios = assembled.series, assembled.ratios
    slopes = np.array([_slope(assembled, i) for i in range(len(series))]).reshape(-1, 2)
    covariances: list[NDArray | None] = [None] * len(series)
    for row, i in enumerate(np.flatnonzero(fit.measured)):
        covariances[i] = fit.covariance[row]
    used = {
        "exposure": [exposure.name for exposure in assembled.exposures],
        "mjd": series.mjd,
        **_circumstances(assembled),
        "flux": fit.flux,
        "flux_e": fit.error,
        **_magnitudes(fit, recipe.zero_point),
        "quiet_flux": fit.quiet_flux,
        "quiet_flux_e": fit.quiet_error,
        "covariance": covariances,
        "throughput": series.throughput,
        "throughput_e": series.throughput_error,
        "n_star": ratios.used.sum(axis=1),
        "fwhm": [psf.fwhm for psf in series.psf],
        "width": [psf.width for psf in assembled.psf],
        "slope": slopes[:, 0],
        "slope_e": slopes[:, 1],
        "sky": fit.sky,
        "noise": np.sqrt(series.variance),
        "gain": series.gain,
        "chi2": fit.chi2,
        "n_pixel": fit.n_pixel,
        "n_rejected": fit.rejected.sum(axis=(1, 2)),
        "freedom": fit.freedom,
        "influence": fit.influence,
        "flags": fit.exposure_flag,
        "reason": [_reason(flag) for flag in fit.exposure_flag],
    }
    unfitted = [
        *unused,
        *(Unused(exposure.name, exposure.stamp.mjd, reason) for exposure, reason in assembled.rejected),
    ]
    left_out = {
        "exposure": [o.name for o in unfitted],
        "mjd": [o.mjd for o in unfitted],
        "reason": [o.reason for o in unfitted],
    }
    schema = schema_of(LIGHT_CURVE)
    parts = []
    for columns, n in ((used, len(series)), (left_out, len(unfitted))):
        columns |= {"band": [band] * n, "zero_point": [recipe.zero_point] * n}
        arrays = [
            pa.array(columns[f.name], from_pandas=True).cast(f.type) if f.name in columns else pa.nulls(n, f.type)
            for f in schema
        ]
        parts.append(pa.table(arrays, schema=schema))
    table = pa.concat_tables(parts).sort_by([("mjd", "ascending"), ("exposure", "ascending")])
    return table.replace_schema_metadata(curve_metadata(assembled, fit, target, recipe))


def _circumstances(assembled: Assembled) -> dict[str, list[float | int | None]]:
    stamps = [exposure.stamp for exposure in assembled.exposures]
    parts = [stamp.circumstances for stamp in stamps]
    times = [None if c.exptime is None else s.mjd + c.exptime / 2 / 86400 for s, c in zip(stamps, parts, strict=True)]
    return {
        "mjd_mid": times,
        "exptime": [c.exptime for c in parts],
        "airmass": [c.airmass for c in parts],
        "infobits": [c.infobits for c in parts],
    }


def _magnitudes(fit: SceneFit, zero_point: float) -> dict[str, NDArray[np.float64]]:
    """Magnitude and error of what is detected, limits of all; NaN where there is none."""
    detected = fit.measured & (fit.flux >= DETECTED * fit.error)
    flux = np.where(detected, fit.flux, np.nan)
    return {
        "mag": zero_point - 2.5 * np.log10(flux),
        "mag_e": 2.5 / np.log(10) * fit.error / flux,
        "limit": zero_point - 2.5 * np.log10(LIMIT * fit.error),
    }


def _reason(flag: int) -> str:
    """Why an exposure that was read is not in the fit."""
    if flag & ExposureFlag.DROPPED:
        return "its pixels contradict those of the other exposures"
    if flag & ExposureFlag.UNUSABLE:
        return "it has no good pixels, or numbers that are none"
    if flag & ExposureFlag.MASKED and flag & ExposureFlag.TROUBLE:
        return "a trail, a source of this exposure alone or a saturated core hides the target"
    return ""


def _slope(assembled: Assembled, i: int) -> tuple[float, float]:
    stars, ratios = assembled.stars, assembled.ratios
    used = ratios.used[i]
    try:
        flux, error = (part[i, used] / ratios.ratio[i] for part in (stars.flux, stars.error))
        return magnitude_slope(flux, error, ratios.flux[used])
    except NoStars:
        return np.nan, np.nan


def curve_metadata(assembled: Assembled, fit: SceneFit, target: Target, recipe: LightCurveRecipe) -> dict[str, str]:
    """Position found, errors common to all fluxes, flags of the fit; numbers as text."""
    shift = fit.position[:2] * assembled.scale
    error = np.sqrt(np.diag(fit.position_covariance)[:2]) * assembled.scale
    facts: dict[str, str | float] = {
        "target": target.name,
        "ra": target.ra + shift[0] / 3600 / np.cos(np.deg2rad(target.dec)),
        "dec": target.dec + shift[1] / 3600,
        "ra_error_arcsec": float(error[0]),
        "dec_error_arcsec": float(error[1]),
        "shines": str(target.shines),
        "zero_point": recipe.zero_point,
        "zero_point_error": assembled.zero_point_error,
        "throughput_chi2": assembled.ratios.chi2,
        "pixel_arcsec": assembled.scale,
        "galaxy_step_pixels": fit.step,
        "flags": str(fit.flag.name or int(fit.flag)) if fit.flag else "",
    }
    return {name: value if isinstance(value, str) else json.dumps(float(value)) for name, value in facts.items()}


def summary_of(fit: SceneFit, table: pa.Table, stars: pa.Table) -> dict[str, Value]:
    """Small facts about a light curve, for its manifest.

    Parameters
    ----------
    table
        Columns `ztf_in2p3.tables.LIGHT_CURVE`.
    stars
        Columns `ztf_in2p3.tables.CURVE_STARS`, brightest first.
    """
    flux, n_used = fit.flux[fit.measured], sum(not reason for reason in table["reason"].to_pylist())
    significance = float(flux @ np.linalg.solve(fit.covariance, flux))
    brightest = stars["scatter"].to_numpy()[: max(stars.num_rows // 4, 1)]
    return {
        "n_exposure": n_used,
        "n_unused": table.num_rows - n_used,
        "n_measured": len(flux),
        "signal_to_noise": round(max(significance, 0.0) ** 0.5, 2),
        "n_star": stars.num_rows,
        "bright_star_scatter_mmag": round(1000 * float(np.median(brightest)), 3) if len(brightest) else None,
        "position_kept": bool(FitFlag.POSITION_KEPT & fit.flag),
        "flags": str(fit.flag.name or "") if fit.flag else "",
        "fails": fit.flag.fails,
        **{f"n_{flag.name.lower()}": int(np.sum((fit.exposure_flag & flag) != 0)) for flag in SHOWN if flag.name},
    }


def model_stamps(series: Series, fit: SceneFit) -> NDArray[np.float64]:
    """(exposure, row, column): what the fit says the pixels are; galaxy, transient and sky, in units of the data."""
    n, side = len(series), series.side
    nodes = Nodes(fit.step, (len(fit.galaxy) - 1) // 2) if fit.galaxy.size else Nodes(fit.step, -1)
    exposure_model = ExposureModel(series, Design(series, nodes, np.arange(n)))
    nuisance = np.zeros((n, N_NUISANCE))
    nuisance[:, 0], nuisance[:, 1], nuisance[:, 2:4], nuisance[:, FLUX] = (
        fit.sky,
        fit.throughput_change,
        fit.shift,
        np.nan_to_num(fit.flux),
    )
    none = np.zeros((n, side**2), bool)
    state = SceneState(fit.galaxy.ravel(), fit.position, nuisance, none, none)
    models = np.empty((n, side, side))
    for i in range(n):
        _, light = exposure_model.model(i, state, exposure_model.design.draw(i))
        change = np.array([1 + nuisance[i, 1], *nuisance[i, 2:4]])
        models[i] = (nuisance[i, 0] + series.throughput[i] * change @ light).reshape(side, side)
    return models


def scene_planes(assembled: Assembled, fit: SceneFit) -> list[Plane]:
    """DATA, MODEL, REJECTED (1: bad, 2: rejected by the fit), each (exposure, row, column), and GALAXY (y, x)."""
    series = assembled.series
    rejected = series.bad.astype(np.uint8) + 2 * fit.rejected.astype(np.uint8)
    planes = [
        Plane("DATA", series.data, "adu"),
        Plane("MODEL", model_stamps(series, fit).astype(np.float32), "adu"),
        Plane("REJECTED", rejected),
    ]
    if fit.galaxy.size:
        cards: Mapping[str, Value] = {"STEP": fit.step, "SCALE": assembled.scale}
        planes.append(Plane("GALAXY", fit.galaxy.astype(np.float32), cards=cards))
    return planes
