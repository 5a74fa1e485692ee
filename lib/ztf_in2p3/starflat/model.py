"""Response map of the focal plane from dithered exposures of one field.

m_ADU = m_star + dZP(u, v) + ZP(exposure) + dk(u, v) C + k (X - 1), C the colour over the sample's mean
and X the airmass at the star: the stars, seen again and again elsewhere on the camera, are the lamp.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from ztf_in2p3.camera import Camera
from ztf_in2p3.fit.checkpoint import Checkpoint
from ztf_in2p3.fit.gauge import Removed
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
    airmass_term,
    colour_term,
    exposure_term,
    gain_term,
    map_term,
    night_term,
)
from ztf_in2p3.recipes import StarflatRecipe
from ztf_in2p3.starflat.dithers import require_dithers


@dataclass(frozen=True, slots=True, eq=False)
class Starflat:
    """A fitted response of the focal plane."""

    fit: Fit
    recipe: StarflatRecipe
    camera: Camera
    colour_centre: float
    """Mean colour of the sample, to which the map applies; magnitudes."""

    def __repr__(self) -> str:
        known = np.isfinite(self.fit["map"].value)
        return f"Starflat {self.recipe.model}: {known.sum()} of {known.size} superpixels; {self.fit!r}"

    @property
    def map(self) -> Floats:
        """(rcid, row of cells, column of cells), magnitudes; NaN where no star was."""
        return self.fit["map"].value.reshape(Superpixels(self.camera, self.recipe.superpixels).shape)

    @property
    def map_sigma(self) -> Floats:
        """Errors of the map (quadrant, cell row, cell column), magnitudes."""
        return self.fit["map"].sigma.reshape(Superpixels(self.camera, self.recipe.superpixels).shape)

    @property
    def colour_map(self) -> Floats | None:
        """(rcid, row of cells, column of cells), mag per mag."""
        if "colour_map" not in self.fit.parameters:
            return None
        return self.fit["colour_map"].value.reshape(Superpixels(self.camera, self.recipe.colour_cells).shape)

    def correction(self, rcid: ArrayLike, x: ArrayLike, y: ArrayLike, colour: ArrayLike | None = None) -> NDArray:
        """Magnitudes to subtract from measured ones at pixels of a quadrant; NaN where no star was.

        All (measurement,).
        """
        out = self.map.ravel()[Superpixels(self.camera, self.recipe.superpixels).index(rcid, x, y)]
        if colour is None or self.colour_map is None:
            return out
        term = self.colour_map.ravel()[Superpixels(self.camera, self.recipe.colour_cells).index(rcid, x, y)]
        return out + term * (np.asarray(colour, float) - self.colour_centre)


def fit_starflat(
    table: pa.Table | Source,
    camera: Camera,
    recipe: StarflatRecipe = StarflatRecipe(),
    *,
    anchors: Anchors | None = None,
    progress: Callable[[Progress], None] | None = None,
    build: Build = build_model,
    checkpoint: Checkpoint | None = None,
) -> Starflat:
    """Fit the response map to measurements of one sequence and filter.

    Parameters
    ----------
    table
        star_id, exposure, mjd, rcid, x, y (or u, v; pixels), airmass, colour, mag, mag_e (magnitudes), as far as
        the model needs them; or Parquet files with these.
    build
        Where the measurements are kept: in memory, `on_disk` on disk, or on workers.

    Raises `BadData` where a column is missing or nothing can be used.
    """
    model, intake, colour_centre = starflat_model(table, camera, recipe, anchors=anchors, build=build)
    removed = planes(camera, recipe) if plane_removed(recipe, anchors) else []
    result = fit(model, recipe.robust, removed=removed, progress=progress, intake=intake, checkpoint=checkpoint)
    if "airmass" in MODELS[recipe.model] and "airmass" not in result.parameters:
        result = replace(result, degeneracies=(*result.degeneracies, ONE_AIRMASS))
    return Starflat(result, recipe, camera, colour_centre)


def starflat_model(
    table: pa.Table | Source,
    camera: Camera,
    recipe: StarflatRecipe,
    *,
    anchors: Anchors | None = None,
    build: Build = build_model,
) -> tuple[Model, Intake, float]:
    """The model of measurements, what became of them, and the mean colour."""
    if recipe.model not in MODELS:
        raise ValueError(f"no starflat model {recipe.model!r}; known: {', '.join(MODELS)}")
    source, wanted = as_source(table, camera), MODELS[recipe.model]
    require(source, ["star_id", "exposure", "rcid", *(name for term in wanted for name in COLUMNS.get(term, ()))])
    require_dithers(source, camera, recipe.least_dither)
    photometric = recipe.photometric_sigma is not None and "zero_point" in wanted
    known = overview(source, len(camera.quadrants))
    nights, colour_centre = known.nights, known.colour_centre if "colour" in wanted else 0.0
    if photometric or recipe.gain or "airmass" in wanted:
        require(source, ["mjd"])

    terms = [night_term(nights)] if photometric else []
    if "zero_point" in wanted:
        terms.append(exposure_term(known.exposures, sigma=recipe.photometric_sigma))
    terms.append(map_term(Superpixels(camera, recipe.superpixels)))
    if recipe.gain:
        terms.append(gain_term(nights, len(camera.quadrants)))
    if "colour" in wanted:
        terms.append(colour_term(Superpixels(camera, recipe.colour_cells), colour_centre))
    if "airmass" in wanted and not airmass_unseen(recipe, known):
        terms.append(airmass_term(nights, recipe.airmass_prior))
    valid = functools.partial(on_camera, camera)
    model, intake = build(source, Reading(terms, recipe.error_floor, valid, anchors))
    return model, intake, colour_centre


def airmass_unseen(recipe: StarflatRecipe, known: Overview) -> bool:
    """Whether extinction and free zero points are the same: one airmass an exposure, and no prior."""
    free = recipe.airmass_prior is None and recipe.photometric_sigma is None
    return "zero_point" in MODELS[recipe.model] and free and known.one_airmass


MODELS = {
    "simple": ("map",),
    "zp": ("map", "zero_point"),
    "color": ("map", "zero_point", "colour"),
    "full": ("map", "zero_point", "colour", "airmass"),
}
"""Terms besides the stars."""

COLUMNS = {"colour": ("colour",), "airmass": ("airmass", "mjd")}
"""Columns that only some terms need."""


def plane_removed(recipe: StarflatRecipe, anchors: Anchors | None) -> bool:
    """Whether the plane over the focal plane is fixed to zero rather than fitted."""
    if recipe.plane != "auto":
        return recipe.plane == "remove"
    return recipe.model != "simple" and anchors is None and recipe.photometric_sigma is None


def planes(camera: Camera, recipe: StarflatRecipe) -> list[Removed]:
    """Amplitude: magnitudes from the centre of the focal plane to its edge."""
    u, v = Superpixels(camera, recipe.superpixels).centres()
    return [
        Removed("plane over the focal plane, to the east", "map", u / u.max()),
        Removed("plane over the focal plane, to the north", "map", v / v.max()),
    ]
