"""Zero points of a survey from its own stars, seen again and again over months.

Padmanabhan et al. 2008 (ApJ 674, 1217) and Schlafly et al. 2012 (ApJ 756, 158): a linear model of all
measurements, in which every star is its own reference; no external catalogue takes part unless asked to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lib.camera import Camera
from lib.fit.exposures import ExposureQuality, exposure_quality
from lib.fit.model import Floats, Model
from lib.fit.repeatability import Repeatability, held_out_repeatability
from lib.fit.results import Fit, Intake
from lib.fit.robust import fit
from lib.fit.solver import Progress
from lib.fit.superpixels import Superpixels, on_camera, with_pixels
from lib.fit.table import Anchors, build_model, require
from lib.fit.terms import (
    Term,
    airmass_term,
    colour_term,
    epoch_term,
    exposure_term,
    mean_of,
    nights_in,
    quadrant_exposure_term,
    unique,
)
from lib.recipes import UbercalRecipe


@dataclass(frozen=True, slots=True, eq=False)
class ZeroPoints:
    """Zero point of each quadrant of each exposure; arrays of one length."""

    exposure: NDArray
    rcid: NDArray[np.int64]
    value: Floats
    """Magnitudes to subtract from measured ones; NaN where nothing determines it."""
    sigma: Floats
    """In the gauge of the fit; NaN in a hierarchical fit, whose terms have each their own."""
    component: NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Ubercal:
    """A solved survey."""

    fit: Fit
    recipe: UbercalRecipe
    zero_points: ZeroPoints
    exposures: ExposureQuality
    repeatability: Repeatability | None
    """None where no stars were held out."""
    colour_centre: float


def fit_ubercal(
    table: pa.Table, camera: Camera, recipe: UbercalRecipe = UbercalRecipe(), *, anchors: Anchors | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Ubercal:  # fmt: skip
    """Fit the zero points of a survey in one filter.

    Parameters
    ----------
    table
        star_id, exposure, rcid, x, y (or u, v; pixels), mag, mag_e (magnitudes); mjd, airmass, colour as far as
        the terms need them.
    anchors
        Star magnitudes known from elsewhere.

    Raises `BadData` where a column is missing or nothing can be used.
    """
    model, intake, colour_centre = ubercal_model(table, camera, recipe, anchors=anchors)
    result = fit(model, recipe.robust, progress=progress, intake=intake)
    p = np.concatenate([result[family.name].value for family in model.families])
    return Ubercal(
        fit=result, recipe=recipe, zero_points=_zero_points(result, recipe, len(camera.quadrants), table),
        exposures=exposure_quality(model, result, unique(table, "exposure"), recipe.photometric),
        repeatability=held_out_repeatability(model, p, recipe.robust.clip) if recipe.held_out else None,
        colour_centre=colour_centre,
    )  # fmt: skip


def ubercal_model(
    table: pa.Table, camera: Camera, recipe: UbercalRecipe, *, anchors: Anchors | None = None
) -> tuple[Model, Intake, float]:
    """The model of a table, what became of its rows, and the mean colour."""
    if recipe.zero_points not in ("quadrant", "hierarchical"):
        raise ValueError(f"no zero points of kind {recipe.zero_points!r}; known: quadrant, hierarchical")
    table = with_pixels(camera, table)
    hierarchical = recipe.zero_points == "hierarchical"
    dated = ("mjd",) if hierarchical or recipe.airmass else ()
    require(table, ["exposure", "rcid", *dated, *(("colour",) if recipe.colour else ())])
    exposures, n_quadrant = unique(table, "exposure"), len(camera.quadrants)
    u, v = Superpixels(camera, 1).centres()
    centre = u / u.max(), v / v.max()
    terms: list[Term] = []
    if hierarchical:
        terms += [
            exposure_term(exposures),
            epoch_term(recipe.epochs, n_quadrant),
            quadrant_exposure_term(table, exposures, centre, sigma=recipe.residual_sigma, name="residual"),
        ]
    else:
        terms.append(quadrant_exposure_term(table, exposures, centre))
    colour_centre = mean_of(table, "colour") if recipe.colour else 0.0
    if recipe.colour:
        terms.append(colour_term(Superpixels(camera, 1), colour_centre))
    if recipe.airmass:
        terms.append(airmass_term(nights_in(table), recipe.airmass_prior))
    model, intake = build_model(
        table, terms, error_floor=recipe.error_floor, valid=lambda rows: on_camera(camera, rows), anchors=anchors,
        held_out=recipe.held_out,
    )  # fmt: skip
    return model, intake, colour_centre


def _zero_points(result: Fit, recipe: UbercalRecipe, n_quadrant: int, table: pa.Table) -> ZeroPoints:
    if recipe.zero_points == "quadrant":
        zero = result["zero_point"]
        return ZeroPoints(zero.labels[:, 0], zero.labels[:, 1], zero.value, zero.sigma, zero.component)
    residual, exposure, quadrant = result["residual"], result["zero_point"], result["quadrant_epoch"]
    at = np.searchsorted(exposure.labels, residual.labels[:, 0])
    # One date of each exposure says in which epoch it is.
    first = np.unique(table["exposure"].to_numpy(), return_index=True)[1]
    epoch = np.searchsorted(np.array(recipe.epochs), table["mjd"].to_numpy()[first], side="right")[at]
    value = exposure.value[at] + quadrant.value[epoch * n_quadrant + residual.labels[:, 1]] + residual.value
    sigma = np.full(len(value), np.nan)
    return ZeroPoints(residual.labels[:, 0], residual.labels[:, 1], value, sigma, exposure.component[at])
