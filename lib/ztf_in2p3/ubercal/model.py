"""Zero points of a survey from its own stars, seen again and again over months.

Padmanabhan et al. 2008 (ApJ 674, 1217) and Schlafly et al. 2012 (ApJ 756, 158): a linear model of all
measurements, in which every star is its own reference; no external catalogue takes part unless asked to.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import scipy.sparse as sparse
from numpy.typing import NDArray

from ztf_in2p3.camera import Camera
from ztf_in2p3.fit.checkpoint import Checkpoint
from ztf_in2p3.fit.model import Floats, Model
from ztf_in2p3.fit.overview import Overview, overview
from ztf_in2p3.fit.results import Fit, Intake
from ztf_in2p3.fit.robust import fit
from ztf_in2p3.fit.solver import Progress
from ztf_in2p3.fit.sources import Source, as_source
from ztf_in2p3.fit.superpixels import Superpixels, on_camera
from ztf_in2p3.fit.table import Anchors, Build, Reading, build_model, require
from ztf_in2p3.fit.terms import (
    ONE_AIRMASS,
    Term,
    airmass_term,
    colour_term,
    epoch_term,
    exposure_term,
    night_term,
    quadrant_exposure_term,
)
from ztf_in2p3.fit.trust import CONTESTED
from ztf_in2p3.recipes import UbercalRecipe
from ztf_in2p3.ubercal.clouds import UnevenExposures
from ztf_in2p3.ubercal.photometricity import Photometricity, exposure_photometricity
from ztf_in2p3.ubercal.repeatability import Repeatability, held_out_repeatability


@dataclass(frozen=True, slots=True, eq=False)
class ZeroPoints:
    """Zero point of each quadrant of each exposure; arrays of one length, by exposure and rcid."""

    exposure: NDArray
    rcid: NDArray[np.int64]
    value: Floats
    """Magnitudes to subtract from measured ones; NaN where nothing determines it."""
    sigma: Floats
    """Errors in the gauge of the fit; of a hierarchical fit, of the sum of its terms."""
    count: NDArray[np.int64]
    """Measurements used."""
    component: NDArray[np.int32]
    """Part of the sky that stars connect; -1 where nothing determines the zero point."""
    flag: NDArray[np.int8]
    """Bits of `ztf_in2p3.fit.trust`: few measurements, few stars, many rejected; of the terms it is the sum of."""


@dataclass(frozen=True, slots=True, eq=False)
class Ubercal:
    """A solved survey."""

    fit: Fit
    recipe: UbercalRecipe
    known: Overview
    zero_points: ZeroPoints
    exposures: Photometricity
    repeatability: Repeatability | None
    """None where no stars were held out."""

    def __repr__(self) -> str:
        known = int(np.isfinite(self.zero_points.value).sum())
        return f"Ubercal: {known} of {len(self.zero_points.value)} zero points; {self.fit!r}"


def fit_ubercal(
    table: pa.Table | Source,
    camera: Camera,
    recipe: UbercalRecipe = UbercalRecipe(),
    *,
    anchors: Anchors | None = None,
    progress: Callable[[Progress], None] | None = None,
    build: Build = build_model,
    checkpoint: Checkpoint | None = None,
) -> Ubercal:
    """Fit the zero points of a survey in one filter.

    Parameters
    ----------
    table
        star_id, exposure, rcid, x, y (or u, v; pixels), mag, mag_e (magnitudes); mjd, airmass, colour as far as
        the terms need them; or Parquet files with these.
    anchors
        Star magnitudes known from elsewhere.
    build
        Where the measurements are kept: in memory, `on_disk` on disk, or on workers.

    Raises `BadData` where a column is missing or nothing can be used.
    """
    model, intake, known = ubercal_model(table, camera, recipe, anchors=anchors, build=build)
    labels, sums = zero_point_sums(model, recipe, known)
    result = fit(
        model,
        recipe.robust,
        progress=progress,
        intake=intake,
        checkpoint=checkpoint,
        sums=sums,
        revise=UnevenExposures(recipe, labels, sums),
    )
    result = _in_parts_of_zero_points(result, recipe)
    if recipe.airmass and "airmass" not in result.parameters:
        result = replace(result, degeneracies=(*result.degeneracies, ONE_AIRMASS))
    zero = _zero_points(result, labels, sums)
    at = np.searchsorted(known.exposures, zero.exposure)
    return Ubercal(
        fit=result,
        recipe=recipe,
        known=known,
        zero_points=zero,
        exposures=exposure_photometricity(
            model,
            result,
            known.exposures,
            at,
            zero.rcid,
            zero.value,
            zero.component,
            recipe.photometric,
            None if "airmass" in result.parameters else known.airmass,
        ),
        repeatability=held_out_repeatability(model, result.usable, recipe.robust.clip) if recipe.held_out else None,
    )


def ubercal_model(
    table: pa.Table | Source,
    camera: Camera,
    recipe: UbercalRecipe,
    *,
    anchors: Anchors | None = None,
    build: Build = build_model,
) -> tuple[Model, Intake, Overview]:
    """The model of measurements, what became of them, and what was found in them."""
    source = as_source(table, camera)
    terms, known = ubercal_terms(source, camera, recipe)
    valid = functools.partial(on_camera, camera)
    model, intake = build(source, Reading(terms, recipe.error_floor, valid, anchors, recipe.held_out))
    return model, intake, known


def ubercal_terms(source: Source, camera: Camera, recipe: UbercalRecipe) -> tuple[list[Term], Overview]:
    """Terms of the model of a survey's magnitudes."""
    if recipe.zero_points not in ("quadrant", "hierarchical"):
        raise ValueError(f"no zero points of kind {recipe.zero_points!r}; known: quadrant, hierarchical")
    hierarchical = recipe.zero_points == "hierarchical"
    if recipe.photometric_sigma is not None and not hierarchical:
        raise ValueError(
            "photometric_sigma is for zero_points = hierarchical: free quadrants have no common zero point"
        )
    dated = ("mjd",) if recipe.epochs or recipe.photometric_sigma is not None or recipe.airmass else ()
    require(source, ["exposure", "rcid", *dated, *(("colour",) if recipe.colour else ())])
    known, n_quadrant = overview(source, len(camera.quadrants)), len(camera.quadrants)
    u, v = Superpixels(camera, 1).centres()
    centre = u / u.max(), v / v.max()
    terms: list[Term] = []
    if hierarchical:
        if recipe.photometric_sigma is not None:
            terms.append(night_term(known.nights))
        terms += [
            exposure_term(known.exposures, sigma=recipe.photometric_sigma),
            epoch_term(recipe.epochs, n_quadrant),
            quadrant_exposure_term(
                known.exposures, known.quadrants, centre, sigma=recipe.residual_sigma, name="residual"
            ),
        ]
    else:
        terms.append(quadrant_exposure_term(known.exposures, known.quadrants, centre))
    if recipe.colour:
        terms.append(colour_term(Superpixels(camera, 1), known.colour_centre))
    if recipe.airmass and not airmass_unseen(recipe, known):
        terms.append(airmass_term(known.nights, recipe.airmass_prior))
    return terms, known


def airmass_unseen(recipe: UbercalRecipe, known: Overview) -> bool:
    """Whether extinction and free zero points are the same: one airmass an exposure, and no prior."""
    return recipe.airmass_prior is None and recipe.photometric_sigma is None and known.one_airmass


def zero_point_sums(model: Model, recipe: UbercalRecipe, known: Overview) -> tuple[NDArray, sparse.csr_array]:
    """Exposure and rcid of each zero point, and (zero point, parameter) the terms that it is the sum of."""
    names = [family.name for family in model.families]
    labels = model.family("residual" if "residual" in names else "zero_point").labels
    at, rcid = np.searchsorted(known.exposures, labels[:, 0]), labels[:, 1]
    n_quadrant = known.quadrants.shape[1]
    epoch = np.searchsorted(np.array(recipe.epochs), known.mjd[at], side="right")
    members = {
        "night": np.searchsorted(known.nights, np.floor(known.mjd[at])),
        "zero_point": at if "residual" in names else np.arange(len(at)),
        "quadrant_epoch": epoch * n_quadrant + rcid,
        "residual": np.arange(len(at)),
    }
    columns = np.concatenate([model.span(name).start + index for name, index in members.items() if name in names])
    rows = np.tile(np.arange(len(at)), len(columns) // max(len(at), 1))
    return labels, sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(at), model.n_param))


def _in_parts_of_zero_points(result: Fit, recipe: UbercalRecipe) -> Fit:
    """The fit with each star in the part of the sky within which the zero points of its quadrants can be compared."""
    finest = "residual" if recipe.zero_points == "hierarchical" else "zero_point"
    label = result.label.copy()
    label[result.model.span(finest)] = result.sum_component
    names = [family.name for family in result.model.families]
    return replace(result, label=label, star_family=names.index(finest))


def _zero_points(result: Fit, labels: NDArray, sums: sparse.csr_array) -> ZeroPoints:
    """Sums of the terms; unknown where one of them is, unless it is fixed."""
    finest = sums.indices.reshape(len(labels), -1)[:, -1]
    counts = np.concatenate([result[family.name].count for family in result.model.families])
    unknown = result.sum_component < 0
    return ZeroPoints(
        labels[:, 0],
        labels[:, 1],
        np.where(unknown, np.nan, sums @ result.vector),
        result.sum_sigma,
        counts[finest],
        result.sum_component,
        _flags(result, sums, finest),
    )


def _flags(result: Fit, sums: sparse.csr_array, finest: NDArray[np.int32]) -> NDArray[np.int8]:
    """Flags of all terms; few measurements do not harm a term that a prior holds, rejected ones do the finest."""
    flag = np.concatenate([result[family.name].flag for family in result.model.families])
    free = np.where(result.model.prior_weight > 0, 0, flag)
    bits = [np.where(sums @ ((free & bit) > 0).astype(float) > 0, bit, 0) for bit in (1, 2, 4)]
    return (sum(bits) | (flag[finest] & CONTESTED)).astype(np.int8)
