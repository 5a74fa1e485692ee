"""What the scene fit takes from an image: the stars that show its PSF, the stamp of a target, and why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ztf_in2p3.astrometry import sky_to_pixels
from ztf_in2p3.cards import integer, number, required_number
from ztf_in2p3.catalogue.stars import Stars
from ztf_in2p3.errors import BadData
from ztf_in2p3.image import Image, MaskBit, is_bad
from ztf_in2p3.products import Value
from ztf_in2p3.psf.errors import NoStars
from ztf_in2p3.psf.stars import StarStamps
from ztf_in2p3.recipes import LightCurveRecipe, PsfCatalogueRecipe
from ztf_in2p3.scene.dates import EARLIEST, LATEST
from ztf_in2p3.scene.pixel_levels import saturation_level, sky_variance
from ztf_in2p3.scene.target import Target

STEP_ARCSEC = 2.0
"""Step for the derivatives of a WCS: it is straight over a stamp."""
CORE = 2
"""Pixels around a star that must all be good."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the header says of an exposure that the fit does not need, and the reader of a light curve does."""

    exptime: float | None = None
    """Seconds."""
    airmass: float | None = None
    infobits: int | None = None

    @classmethod
    def of(cls, header: fits.Header) -> Circumstances:
        """Read the cards EXPTIME, AIRMASS and INFOBITS; None where one is unknown."""
        return cls(number(header, "EXPTIME"), number(header, "AIRMASS"), integer(header, "INFOBITS"))


UNKNOWN = Circumstances()


@dataclass(frozen=True, slots=True, eq=False)
class ExposureImage:
    """An image as the scene fit sees it."""

    image: Image
    wcs: WCS
    mjd: float
    """UTC of the start of the exposure."""
    gain: float
    """Electrons per ADU."""
    variance: float
    """Variance of a pixel with nothing but sky, read noise included: ADU^2; see `sky_variance`."""
    bad: NDArray[np.bool_]
    """(row, column): pixels that are not to be used."""
    full_well: float = np.inf
    """ADU; infinite where neither header nor pixels tell."""
    circumstances: Circumstances = UNKNOWN

    @classmethod
    def of(cls, image: Image, header: fits.Header, wcs: WCS, name: str) -> ExposureImage:
        """Take an image with its header: OBSMJD and GAIN; EXPTIME, AIRMASS and INFOBITS where it has them.

        Raises
        ------
        BadData
            A card is missing or no number, or no pixel is good.
        """
        mjd = required_number(header, "OBSMJD", name, "the date (MJD)")
        gain = required_number(header, "GAIN", name, "the gain (e-/adu)", positive=True)
        bad = is_bad(image.mask) | ~np.isfinite(image.data) | ~np.isfinite(image.variance)
        full_well = saturation_level(image.data, bad, number(header, "SATURATE"))
        bad |= image.data >= full_well
        if bad.all():
            raise BadData(f"{name}: none of its {bad.size} pixels is good; look at its mask, or leave it out")
        variance = sky_variance(image.data, bad) or float(np.median(image.variance[~bad]))
        return cls(image, wcs, mjd, gain, variance, bad, full_well, Circumstances.of(header))


@dataclass(frozen=True, slots=True, eq=False)
class Stamp:
    """A target in one exposure: pixels, and where the WCS of the header has it."""

    mjd: float
    data: NDArray[np.float32]
    """(row, column), ADU; NaN beyond the image."""
    bad: NDArray[np.bool_]
    corner: NDArray[np.int64]
    """(2,): x, y of the first pixel in the image."""
    place: NDArray[np.float64]
    """(2,): x, y of the target in the image."""
    matrix: NDArray[np.float64]
    """(2, 2): pixels along x, y for an arcsecond east, north."""
    variance: float
    gain: float
    circumstances: Circumstances = UNKNOWN


def why_not(about: Mapping[str, Value], mjd: float, target: Target, recipe: LightCurveRecipe) -> str:
    """Why an exposure is not used, judged by its header; empty if nothing speaks against it.

    Parameters
    ----------
    about
        Of `ztf_in2p3.archive.header.about_image`.
    """
    if not EARLIEST <= mjd <= LATEST:
        return f"its date cannot be: MJD {mjd:g}"
    if not target.wants(mjd):
        return f"not within the nights asked for, {target.period}"
    if not about.get("wcs", True):
        return "no astrometry"
    infobits = int(about.get("infobits") or 0) & ~recipe.allowed_infobits
    if infobits:
        return f"bits {', '.join(str(k) for k in range(32) if infobits >> k & 1)} of its INFOBITS"
    seeing = about.get("seeing")
    if seeing is not None and float(seeing) > recipe.max_seeing:
        return f"seeing of {float(seeing):.2f} pixels, over the {recipe.max_seeing:g} that are taken"
    return ""


def how_far_inside(wcs: WCS, shape: tuple[int, int], target: Target) -> float:
    """Pixels from the target to the nearest edge of the image; negative outside.  NaN if the WCS does not reach."""
    x, y = (float(w) for w in sky_to_pixels(wcs, target.ra, target.dec))
    rows, columns = shape
    return min(x + 0.5, columns - 0.5 - x, y + 0.5, rows - 0.5 - y)


def cut(
    exposure: ExposureImage, x: float, y: float, side: int
) -> tuple[NDArray[np.float32], NDArray, NDArray[np.int64]]:
    """Pixels around (x, y), those that are bad, and (x, y) of the first; what lies beyond the image is NaN and bad."""
    corner = np.rint([x, y]).astype(np.int64) - side // 2
    data, bad = np.full((side, side), np.nan, np.float32), np.ones((side, side), bool)
    rows, columns = exposure.image.data.shape
    left, top = np.maximum(corner, 0)
    right, low = np.minimum(corner + side, (columns, rows))
    if right > left and low > top:
        inside = slice(top - corner[1], low - corner[1]), slice(left - corner[0], right - corner[0])
        data[inside] = exposure.image.data[top:low, left:right]
        bad[inside] = exposure.bad[top:low, left:right]
    return data, bad, corner


def stamp_of(exposure: ExposureImage, target: Target, side: int) -> Stamp:
    """Cut a target out."""
    place = np.array([float(w) for w in sky_to_pixels(exposure.wcs, target.ra, target.dec)])
    data, bad, corner = cut(exposure, float(place[0]), float(place[1]), side)
    return Stamp(
        exposure.mjd,
        data,
        bad,
        corner,
        place,
        matrix_at(exposure.wcs, target.ra, target.dec),
        exposure.variance,
        exposure.gain,
        exposure.circumstances,
    )


def matrix_at(wcs: WCS, ra: float, dec: float) -> NDArray[np.float64]:
    """(2, 2): pixels along x, y for an arcsecond east, north, at a place (degrees)."""
    east, north = np.array([[STEP_ARCSEC, -STEP_ARCSEC, 0, 0], [0, 0, STEP_ARCSEC, -STEP_ARCSEC]]) / 3600
    at_dec = dec + north
    x, y = sky_to_pixels(wcs, ra + east / np.cos(np.deg2rad(at_dec)), at_dec)
    return np.array([[x[0] - x[1], x[2] - x[3]], [y[0] - y[1], y[2] - y[3]]]) / (2 * STEP_ARCSEC)


def chosen_stars(
    exposure: ExposureImage, stars: Stars, scale: float, recipe: PsfCatalogueRecipe
) -> tuple[Stars, NDArray[np.bool_]]:
    """Stars to measure, the brightest first: whole on the image, on good pixels, not saturated; and which are alone.

    Parameters
    ----------
    stars
        All of the reference catalogue on the image and around it.
    scale
        Arcseconds per pixel.

    Raises
    ------
    NoStars
        Fewer than the PSF needs.
    """
    rows, columns = exposure.image.data.shape
    rim = recipe.side / 2 + recipe.psf.margin
    whole = (stars.x > rim) & (stars.x < columns - rim) & (stars.y > rim) & (stars.y < rows - rim)
    isolated = is_isolated(stars, recipe.isolation_arcsec / scale, recipe.isolation_mag)
    good = np.flatnonzero(whole & np.isfinite(stars.g_mag))
    good = good[np.argsort(stars.g_mag[good], kind="stable")]
    spoilt = exposure.bad | ((exposure.image.mask & np.uint16(MaskBit.SATURATED)) != 0)
    kept = np.array([s for s in good if not _core(spoilt, stars.x[s], stars.y[s]).any()], np.int64)[: recipe.max_stars]
    n_alone = int(isolated[kept].sum())
    if n_alone < recipe.psf.min_stars:
        raise NoStars(
            f"{n_alone} of {whole.sum()} reference stars on the image are alone, on good pixels and not saturated; "
            f"{recipe.psf.min_stars} are needed: leave the image out, or lower isolation_arcsec of PsfCatalogueRecipe"
        )
    return stars.take(kept), isolated[kept]


def is_isolated(stars: Stars, within: float, fainter: float) -> NDArray[np.bool_]:
    """(star,): whether no other within so many pixels is brighter, or fainter by less than so many magnitudes."""
    isolated = np.ones(len(stars.x), bool)
    if len(isolated):
        pairs = cKDTree(np.column_stack([stars.x, stars.y])).query_pairs(within, output_type="ndarray")
        for first, second in (pairs.T, pairs.T[::-1]):
            disturbing = ~(stars.g_mag[second] > stars.g_mag[first] + fainter)  # what has no magnitude may be bright
            isolated[first[disturbing]] = False
    return isolated


def star_stamps(exposure: ExposureImage, stars: Stars, side: int) -> StarStamps:
    """Cut stars out."""
    cuts = [cut(exposure, x, y, side) for x, y in zip(stars.x, stars.y, strict=True)]
    data, bad, corner = (np.array(part) for part in zip(*cuts, strict=True))
    expected = np.column_stack([stars.x, stars.y])
    return StarStamps(data, bad, corner, expected, exposure.variance, exposure.gain, exposure.full_well)


def _core(bad: NDArray[np.bool_], x: float, y: float) -> NDArray[np.bool_]:
    row, column = round(float(y)), round(float(x))
    return bad[max(row - CORE, 0) : row + CORE + 1, max(column - CORE, 0) : column + CORE + 1]
