"""PSF of an exposure, its stars and its targets as tables, and back."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ztf_in2p3.camera import Camera
from ztf_in2p3.catalogue.airmass import airmass
from ztf_in2p3.catalogue.apertures import bits_within
from ztf_in2p3.catalogue.stars import Stars
from ztf_in2p3.identifiers import Exposure, Quadrant
from ztf_in2p3.psf.fit import PsfModel, fit_psf
from ztf_in2p3.psf.goodness import growth_residual
from ztf_in2p3.psf.stars import StarFluxes
from ztf_in2p3.recipes import PsfCatalogueRecipe
from ztf_in2p3.scene.inputs import Circumstances, ExposureImage, Stamp, chosen_stars, star_stamps
from ztf_in2p3.tables import PSF, PSF_CATALOGUE, STAMP, schema_of

COMPLETE = 0.95
"""Smallest fraction of a star's pixels that must be good; below it `f_psf_f` is set."""


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredStars:
    """PSF of an exposure, and the stars it was fitted to or measured with."""

    psf: PsfModel
    stars: Stars
    used: NDArray[np.bool_]
    """(star,): by the fit of the PSF."""
    fluxes: StarFluxes
    radius: NDArray[np.float64]
    growth: NDArray[np.float64]
    """See `ztf_in2p3.psf.goodness.growth_residual`."""
    blended: NDArray[np.bool_]
    """(star,): another is too near."""
    peak: NDArray[np.float64]
    """(star,): highest pixel in units of full well."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What an image is of, as far as a catalogue says; what is not ZTF's leaves the survey's columns empty."""

    band: str
    exposure: Exposure | None = None
    quadrant: Quadrant | None = None
    camera: Camera | None = None


def measure_exposure(exposure: ExposureImage, around: Stars, scale: float, recipe: PsfCatalogueRecipe) -> MeasuredStars:
    """Fit the PSF of an exposure, and measure its stars with it.

    Parameters
    ----------
    around
        Stars of the reference catalogue on the image and a stamp beyond.
    scale
        Arcseconds per pixel.

    Raises
    ------
    NoStars
        Too few stars.
    """
    stars, alone = chosen_stars(exposure, around, scale, recipe)
    stamps = star_stamps(exposure, stars, recipe.side + 2 * recipe.psf.margin)
    psf, used, fluxes = fit_psf(stamps, recipe.psf, alone)
    growth = growth_residual(stamps.only(used), fluxes.only(used), np.ones(int(used.sum()), bool))
    return MeasuredStars(psf, stars, used, fluxes, *growth, ~alone, stamps.peak)


def psf_table(measured: MeasuredStars, mjd: float) -> pa.Table:
    """Columns `ztf_in2p3.tables.PSF`."""
    psf = measured.psf
    row = {
        "shape": psf.shape.ravel(),
        "middle": psf.middle,
        "scale": psf.scale,
        "residual": psf.residual.ravel(),
        "spacing": psf.spacing,
        "ripple": psf.ripple.ravel(),
        "phase_error": psf.phase_error,
        "flux_floor": psf.flux_floor,
        "mjd": mjd,
        "fwhm": psf.at(psf.middle).fwhm,
        "n_star": int(measured.used.sum()),
        "radius": measured.radius,
        "growth": measured.growth,
    }
    return _one_row(row, schema_of(PSF))


def psf_of(table: pa.Table) -> PsfModel:
    """Inverse of `psf_table`."""
    (row,) = table.to_pylist()
    residual = np.array(row["residual"])
    ripple = np.array(row["ripple"]).reshape(-1, 4)
    side = round((len(residual) / len(ripple)) ** 0.5)
    return PsfModel(
        np.array(row["shape"]).reshape(4, -1),
        np.array(row["middle"]),
        row["scale"],
        residual.reshape(-1, side, side),
        row["spacing"],
        ripple,
        row["flux_floor"],
    )


def stamp_table(stamp: Stamp) -> pa.Table:
    """Columns `ztf_in2p3.tables.STAMP`."""
    circumstances = asdict(stamp.circumstances)
    row = circumstances | {c.name: getattr(stamp, c.name) for c in STAMP if c.name not in circumstances}
    return _one_row(
        {name: np.ravel(value) if np.ndim(value) else value for name, value in row.items()}, schema_of(STAMP)
    )


def stamp_of_table(table: pa.Table) -> Stamp:
    """Inverse of `stamp_table`."""
    (row,) = table.to_pylist()
    side = round(len(row["data"]) ** 0.5)
    return Stamp(
        row["mjd"],
        np.array(row["data"], np.float32).reshape(side, side),
        np.array(row["bad"]).reshape(side, side),
        np.array(row["corner"]),
        np.array(row["place"]),
        np.array(row["matrix"]).reshape(2, 2),
        row["variance"],
        row["gain"],
        Circumstances(row["exptime"], row["airmass"], row["infobits"]),
    )


def psf_catalogue(
    measured: MeasuredStars, exposure: ExposureImage, origin: Origin, *, exptime: float, seeing: float, infobits: int
) -> pa.Table:
    """Columns `ztf_in2p3.tables.PSF_CATALOGUE`, sorted by star_id; stars that could not be measured are left out.

    Parameters
    ----------
    exptime, seeing, infobits
        Seconds; pixels and bits according to the header.
    """
    known = np.isfinite(measured.fluxes.flux)
    stars, fluxes = measured.stars.take(known), measured.fluxes
    n, side = int(known.sum()), fluxes.keep.shape[1]
    columns: dict[str, object] = {
        "star_id": stars.star_id,
        "x": stars.x,
        "y": stars.y,
        "ra": stars.ra,
        "dec": stars.dec,
        "g_mag": stars.g_mag,
        "bp_mag": stars.bp_mag,
        "rp_mag": stars.rp_mag,
        "colour": stars.bp_mag - stars.rp_mag,
        "isolated": stars.isolated,
        "mjd": np.full(n, exposure.mjd),
        "seeing": np.full(n, seeing, np.float32),
        "infobits": np.full(n, infobits, np.int32),
        "filter": np.full(n, origin.band),
        "airmass": airmass(stars.ra, stars.dec, exposure.mjd + exptime / 2 / 86400) if origin.camera else None,
        "flags": bits_within(exposure.image.mask, stars.x, stars.y, side / 2),
        "background": fluxes.sky[known],
        "background_rms": np.full(n, exposure.variance**0.5),
        "f_psf": fluxes.flux[known],
        "f_psf_e": np.hypot(fluxes.error, measured.psf.flux_floor * fluxes.flux)[known],
        "f_psf_f": fluxes.keep[known].mean(axis=(1, 2)) < COMPLETE,
        "x_psf": fluxes.place[known, 0],
        "y_psf": fluxes.place[known, 1],
        "x_psf_e": fluxes.place_error[known, 0],
        "y_psf_e": fluxes.place_error[known, 1],
        "width": fluxes.width[known],
        "width_e": fluxes.width_error[known],
        "chi2": fluxes.chi2[known],
        "shows_psf": measured.used[known],
        "blended": measured.blended[known],
        "peak": measured.peak[known],
        **_survey_columns(origin, stars),
    }
    schema = schema_of(PSF_CATALOGUE)
    arrays = [_column(columns[field.name], field.type, n) for field in schema]
    return pa.table(arrays, schema=schema).sort_by([("star_id", "ascending"), ("y", "ascending")])


def _survey_columns(origin: Origin, stars: Stars) -> dict[str, object]:
    names = ("exposure", "field", "ccd", "qid", "rcid", "u", "v")
    if origin.exposure is None or origin.quadrant is None or origin.camera is None:
        return dict.fromkeys(names)
    n, quadrant = len(stars.x), origin.quadrant
    values = (int(origin.exposure.filefracday), origin.exposure.field, quadrant.ccdid, quadrant.qid, quadrant.rcid)
    u, v = origin.camera.focal_plane(quadrant, stars.x, stars.y)
    return dict(zip(names, [*(np.full(n, value) for value in values), u, v], strict=True))


def _column(values: object, kind: pa.DataType, n: int) -> pa.Array:
    if values is None:
        return pa.nulls(n, kind)
    return pa.array(values).cast(kind)


def _one_row(row: dict[str, object], schema: pa.Schema) -> pa.Table:
    return pa.table([pa.array([row[field.name]], field.type) for field in schema], schema=schema)
