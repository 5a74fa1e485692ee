"""Exposures of a target made one series, with one flux scale, for one fit of its light curve.

The stars of the exposures give each its throughput, relative to the others; an external catalogue gives all of them
their zero point.  Stars and transient are measured with the same PSF, the same weights and stamps of one size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ztf_in2p3.directions import tangent_plane
from ztf_in2p3.psf.errors import NoStars
from ztf_in2p3.psf.fit import PsfModel
from ztf_in2p3.psf.size import LocalPsf, refine_psf
from ztf_in2p3.recipes import GaiaColours, LightCurveRecipe
from ztf_in2p3.robust_statistics import MEDIAN_PER_MEAN, robust_sigma
from ztf_in2p3.scene.errors import NothingToFit
from ztf_in2p3.scene.inputs import Stamp
from ztf_in2p3.scene.local import LocalWcs, PhotometricRatios, photometric_ratios, refine_wcs
from ztf_in2p3.scene.model import MOST_STRETCH, Series, stretch_of
from ztf_in2p3.scene.target import Target
from ztf_in2p3.starflat.correction import StarflatMap
from ztf_in2p3.tables import CURVE_STARS, schema_of
from ztf_in2p3.tables.column import numbers

MIN_LINEAR = 20
"""Stars far from full well without which brighter ones, too, tell a throughput."""
MMAG = 2500 / np.log(10)
"""Millimagnitudes of a relative change of one."""


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One exposure of a target: its stamp, its PSF, its stars."""

    name: str
    stamp: Stamp
    psf: PsfModel
    stars: pa.Table
    """Columns `ztf_in2p3.tables.PSF_CATALOGUE`."""
    starflat: StarflatMap | None = None
    """What corrects its fluxes for where on the camera they were measured."""

    def response(self) -> tuple[NDArray[np.float64], float]:
        """Response of the camera at the stars and the target, over that of its middle; NaN where there is no star."""
        if self.starflat is None:
            return np.ones(self.stars.num_rows), 1.0
        x, y = (float(w) for w in self.stamp.place)
        target = self.starflat.correction(self.stars["rcid"][0].as_py(), x, y, np.nan)  # of an unknown colour
        return 10 ** (-0.4 * self.starflat.of_catalogue(self.stars)), float(10 ** (-0.4 * target))


@dataclass(frozen=True, slots=True, eq=False)
class SurveyStars:
    """Magnitudes that a survey gives to its stars."""

    star_id: NDArray[np.int64]
    """Rising."""
    mag: NDArray[np.float64]

    def of(self, star_id: NDArray[np.int64]) -> NDArray[np.float64]:
        """NaN for those it does not have.  (star,) both."""
        at = np.minimum(np.searchsorted(self.star_id, star_id), len(self.star_id) - 1)
        return np.where(self.star_id[at] == star_id, self.mag[at], np.nan)


@dataclass(frozen=True, slots=True, eq=False)
class CurveStars:
    """The stars of all exposures; fluxes in ADU, as the starflat and a PSF of the stars' width would have them."""

    star_id: NDArray[np.int64]
    flux: NDArray[np.float64]
    """(exposure, star); NaN where it was not measured."""
    error: NDArray[np.float64]
    """(exposure, star)."""
    reference: NDArray[np.float64]
    """(star,): flux by the external catalogue, 1 at the zero point; NaN where that does not tell."""
    place: NDArray[np.float64]
    """(star, 2): ra, dec at the first epoch, degrees."""


@dataclass(frozen=True, slots=True, eq=False)
class Assembled:
    """What is fitted, and the exposures it came from."""

    exposures: tuple[Measured, ...]
    series: Series
    """Sky in pixels of `scale`, x east, y north; fluxes in units of the zero point."""
    scale: float
    """Arcseconds per pixel."""
    psf: tuple[LocalPsf, ...]
    stars: CurveStars
    ratios: PhotometricRatios
    zero_point_error: float
    """mag: of the stars' mean against the external catalogue, from their scatter."""
    rejected: tuple[tuple[Measured, str], ...]
    """Exposures that could not be used, and why."""


def assemble(
    exposures: Sequence[Measured],
    target: Target,
    band: str,
    recipe: LightCurveRecipe,
    survey: SurveyStars | None = None,
) -> Assembled:
    """Bring the exposures to one sky and one flux scale.

    Parameters
    ----------
    survey
        What sets the zero point instead of Gaia's magnitudes.

    Raises
    ------
    NothingToFit
        No exposure is left.
    NoStars
        No star is good enough to tell a throughput, or none has a magnitude in the external catalogue.
    """
    exposures = sorted(exposures, key=lambda exposure: (exposure.stamp.mjd, exposure.name))
    scales = sorted(_pixel_scale(exposure) for exposure in exposures)
    scale = scales[(len(scales) - 1) // 2] if scales else 1.0  # that of an exposure, where there are two cameras
    wcs: list[LocalWcs] = []
    psf: list[LocalPsf] = []
    good: list[Measured] = []
    rejected: list[tuple[Measured, str]] = []
    for exposure in exposures:
        try:
            if not np.isfinite(exposure.response()[1]):
                raise NoStars("the starflat knows no star where the target is")
            local = local_wcs(exposure, target, scale)
            if stretch_of(local.matrix) > MOST_STRETCH:
                rejected.append((exposure, _other_pixels(exposure, scale)))
                continue
            psf.append(local_psf(exposure, local))
            wcs.append(local)
            good.append(exposure)
        except NoStars as error:
            rejected.append((exposure, f"NoStars: {error}"))
    if not good:
        reasons = "; ".join(f"{exposure.name}: {reason}" for exposure, reason in rejected[:3])
        raise NothingToFit(f"target {target.name}, {band}: none of {len(exposures)} exposures can be used: {reasons}")
    stars = join_stars(good, psf, band, recipe, survey)
    known = np.isfinite(stars.reference)
    if not known.any():
        raise NoStars(
            f"target {target.name}, {band}: none of {len(known)} stars has a magnitude in the external catalogue; "
            "widen the range of GaiaColours, give the band's polynomial, or name another survey"
        )
    ratios = photometric_ratios(stars.flux, stars.error)
    offset, zero_point_error = zero_point(ratios, stars.reference)
    ratios = rescaled(ratios, offset)
    series = series_of(good, wcs, psf, ratios, target)
    return Assembled(
        tuple(good),
        series,
        scale,
        tuple(psf),
        stars,
        ratios,
        zero_point_error,
        tuple(rejected),
    )


def _pixel_scale(exposure: Measured) -> float:
    """Arcseconds per pixel at the target."""
    return abs(float(np.linalg.det(exposure.stamp.matrix))) ** -0.5


def _other_pixels(exposure: Measured, scale: float) -> str:
    own = _pixel_scale(exposure)
    return f'its pixels have {own:.3g}", those of the others {scale:.3g}" or another shape; fit cameras apart'


def local_wcs(exposure: Measured, target: Target, scale: float) -> LocalWcs:
    """Place that the sky around the target has in the exposure, corrected on the stars.

    The stars are compared with the header's whole solution, distortion and all; the correction is linear.
    """
    stamp = exposure.stamp
    start = LocalWcs(stamp.place, stamp.matrix * scale, 0.0, 0)
    columns = ("ra", "dec", "x", "y", "x_psf", "y_psf", "x_psf_e", "y_psf_e")
    ra, dec, x, y, x_psf, y_psf, x_e, y_e = (numbers(exposure.stars, name) for name in columns)
    u = tangent_plane(ra, dec, target.ra, target.dec).T * 3600 / scale
    measured = start(u) + np.column_stack([x_psf - x, y_psf - y])
    return refine_wcs(start, u, measured, np.column_stack([x_e, y_e]))


def local_psf(exposure: Measured, wcs: LocalWcs) -> LocalPsf:
    """The PSF at the target, as wide as the stars around it."""
    x, y, width, error = (numbers(exposure.stars, name) for name in ("x_psf", "y_psf", "width", "width_e"))
    return refine_psf(exposure.psf, wcs.place, len(exposure.stamp.data), np.column_stack([x, y]), width, error)


def join_stars(
    exposures: Sequence[Measured],
    psf: Sequence[LocalPsf],
    band: str,
    recipe: LightCurveRecipe,
    survey: SurveyStars | None,
) -> CurveStars:
    """Stars of all exposures in one matrix; stars known by no number, and fluxes with a flag, are left out."""
    tables = [exposure.stars for exposure in exposures]
    ids = [table["star_id"].to_numpy() for table in tables]
    star_id = np.unique(np.concatenate([known_ids[known_ids >= 0] for known_ids in ids]))
    shape = (len(tables), len(star_id))
    flux, error = np.full(shape, np.nan), np.full(shape, np.nan)
    reference, place = np.full(len(star_id), np.nan), np.full((len(star_id), 2), np.nan)
    for i in reversed(range(len(tables))):  # the first has the last word on place and magnitude
        table = tables[i]
        at = np.searchsorted(star_id, ids[i])
        known = ids[i] >= 0
        whole = known & (table["f_psf_f"].to_numpy() == 0) & ~table["blended"].to_numpy(zero_copy_only=False)
        linear = whole & (table["peak"].to_numpy() <= recipe.stars.psf.max_peak)
        whole = linear if linear.sum() >= MIN_LINEAR else whole
        response = exposures[i].response()[0] * psf[i].flux_fraction
        flux[i, at[whole]] = (numbers(table, "f_psf") / response)[whole]
        error[i, at[whole]] = (numbers(table, "f_psf_e") / response)[whole]
        place[at[known]] = np.column_stack([numbers(table, "ra"), numbers(table, "dec")])[known]
        magnitude = synthetic_magnitude(numbers(table, "g_mag"), numbers(table, "colour"), band, recipe.gaia)
        reference[at[known]] = 10 ** (-0.4 * (magnitude[known] - recipe.zero_point))
    if survey is not None:
        reference = 10 ** (-0.4 * (survey.of(star_id) - recipe.zero_point))
    return CurveStars(star_id, flux, error, reference, place)


def synthetic_magnitude(g: NDArray, colour: NDArray, band: str, gaia: GaiaColours) -> NDArray[np.float64]:
    """Magnitude of stars in a band from Gaia's; NaN outside the range of colours, or of a band without polynomial.

    `g`, `colour`: (star,).
    """
    coefficients = getattr(gaia, band, None) if band != "range" else None
    if not coefficients:
        return np.full(len(g), np.nan)
    inside = (colour >= gaia.range[0]) & (colour <= gaia.range[1])
    return np.where(inside, g + np.polynomial.polynomial.polyval(colour, coefficients), np.nan)


def zero_point(ratios: PhotometricRatios, reference: NDArray) -> tuple[float, float]:
    """ln of the factor from the stars' fluxes to the reference's, and its error in magnitudes.  `reference`: (star,).

    The median over the stars that both know: the external catalogue is worth the same for each, its scatter (colour
    terms, variable stars) far above the stars' errors.  Error: that of a median, from the robust scatter.

    Raises
    ------
    NoStars
        No star has both.
    """
    both = np.isfinite(ratios.flux) & np.isfinite(reference) & (reference > 0)
    if not both.any():
        raise NoStars("no star that tells a throughput has a magnitude in the external catalogue")
    off = np.log(reference[both] / ratios.flux[both])
    middle = float(np.median(off))
    spread = robust_sigma(off, middle)
    return middle, MEDIAN_PER_MEAN * spread / np.sqrt(both.sum()) * MMAG / 1000


def rescaled(ratios: PhotometricRatios, offset: float) -> PhotometricRatios:
    """The same throughputs for star fluxes e^offset times as large."""
    factor = np.exp(offset)
    return replace(ratios, ratio=ratios.ratio / factor, flux=ratios.flux * factor)


def series_of(
    exposures: Sequence[Measured],
    wcs: Sequence[LocalWcs],
    psf: Sequence[LocalPsf],
    ratios: PhotometricRatios,
    target: Target,
) -> Series:
    """The exposures as the scene fit takes them."""
    stamps = [exposure.stamp for exposure in exposures]
    place = np.array([local.place for local in wcs])
    return Series(
        mjd=np.array([stamp.mjd for stamp in stamps]),
        data=np.array([stamp.data for stamp in stamps]),
        bad=np.array([stamp.bad for stamp in stamps]),
        variance=np.array([stamp.variance for stamp in stamps]),
        gain=np.array([stamp.gain for stamp in stamps]),
        psf=tuple(local.psf for local in psf),
        origin=place - np.array([stamp.corner for stamp in stamps]),
        matrix=np.array([local.matrix for local in wcs]),
        shift_error=np.array([local.error for local in wcs]),
        throughput=ratios.ratio * np.array([exposure.response()[1] for exposure in exposures]),
        throughput_error=np.hypot(ratios.error, [local.flux_error for local in psf]),
        active=np.array([target.may_shine(stamp.mjd) for stamp in stamps]),
        flux_floor=np.array([exposure.psf.flux_floor for exposure in exposures]),
    )


def star_repeatability(assembled: Assembled, recipe: LightCurveRecipe) -> pa.Table:
    """How well each star repeats, and what photons allow: columns `ztf_in2p3.tables.CURVE_STARS`.

    Stars seen at least twice.  Scatter: weighted with the errors of the exposures, over n - 1; expected: the same
    weights, the errors of photons and read noise alone.
    """
    stars, ratios = assembled.stars, assembled.ratios
    repeated = ratios.used.sum(axis=0) >= 2
    used = ratios.used[:, repeated]
    flux, error = stars.flux[:, repeated] / ratios.ratio[:, None], stars.error[:, repeated] / ratios.ratio[:, None]
    weight = np.where(used, error, np.inf) ** -2.0
    mean = np.nansum(np.where(used, weight * flux, 0), axis=0) / weight.sum(axis=0)
    n = used.sum(axis=0)
    off = np.where(used, flux - mean, 0)
    chi2 = np.sum(weight * off**2, axis=0) / (n - 1)
    expected = np.sqrt(n / weight.sum(axis=0)) / mean
    reference = stars.reference[repeated]
    to_mag = MMAG / 1000
    with np.errstate(invalid="ignore", divide="ignore"):
        columns = {
            "star_id": stars.star_id[repeated],
            "ra": stars.place[repeated, 0],
            "dec": stars.place[repeated, 1],
            "mag": recipe.zero_point - 2.5 * np.log10(mean),
            "mag_e": ratios.flux_error[repeated] * to_mag,
            "reference": recipe.zero_point - 2.5 * np.log10(reference),
            "n": n.astype(np.int32),
            "scatter": np.sqrt(chi2) * expected * to_mag,
            "expected": expected * to_mag,
            "chi2": chi2,
            "sets_zero_point": np.isfinite(reference),
        }
    return pa.table(columns, schema=schema_of(CURVE_STARS)).sort_by("mag")
