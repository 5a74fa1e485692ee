"""Aperture catalogue of a quadrant: what every star of the reference sent, in every aperture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import sep
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from ztf_in2p3.camera import Camera
from ztf_in2p3.cards import describe, integer, number, required_number
from ztf_in2p3.catalogue.airmass import airmass
from ztf_in2p3.catalogue.apertures import Apertures, aperture_photometry, bits_within, fill_bad_pixels
from ztf_in2p3.catalogue.background import Background, mask_sources, measure_background
from ztf_in2p3.catalogue.detect import detect_sources
from ztf_in2p3.catalogue.mesh import clipped_mean
from ztf_in2p3.catalogue.sky_noise import measure_noise
from ztf_in2p3.catalogue.star_table import pixels_touched
from ztf_in2p3.catalogue.stars import Stars, is_inside, is_isolated, reference_stars, wcs_of
from ztf_in2p3.directions import julian_epoch
from ztf_in2p3.errors import BadData
from ztf_in2p3.frames import FIRST_MJD, LAST_MJD
from ztf_in2p3.identifiers import CcdExposure, Quadrant
from ztf_in2p3.image import Image, MaskBit, is_bad
from ztf_in2p3.products import Value
from ztf_in2p3.recipes import PhotometryRecipe
from ztf_in2p3.tables import catalogue_schema

_ROUGH_RADIUS = 3.0
"""Aperture of the first look at the stars' brightness, pixels."""

_GLANCE = 8
"""Every so many-th row and column is looked at before the stars are masked."""

_BEYOND = 50.0
"""Pixels around the image whose stars are masked too: they send their wings into it.  Left in the sky of a
quadrant of 256 x 240 pixels, they made it 0.005 to 0.01 ADU too bright, twice what all others leave."""

SECONDS_PER_DAY = 86400
DETECTED = -1
"""`star_id` of a detected source."""


def aperture_catalogue(
    image: Image,
    header: fits.Header,
    stars: pa.Table | None,
    ccd: CcdExposure,
    qid: int,
    camera: Camera,
    recipe: PhotometryRecipe,
    *,
    epoch: float = 2016.0,
) -> pa.Table:
    """Photometry of all stars on a quadrant.

    Parameters
    ----------
    image : (row, column), ADU
        Detrended; any byte order.
    header
        The archive's science header: world coordinates, OBSMJD, EXPTIME, SEEING.
    stars
        Reference stars (columns of `ztf_in2p3.tables.REFERENCE`) of a cone wider than the quadrant by the
        isolation, see `ztf_in2p3.catalogue.stars.cone`.  None: sources are detected; isolation is then counted on
        the quadrant's detections alone.
    ccd, qid
        Which quadrant this is.
    epoch
        Julian year of the positions of the reference stars.

    Returns
    -------
    Columns of `ztf_in2p3.tables.catalogue_schema`, sorted by star_id, then y, then x.

    Raises
    ------
    BadData
        The quadrant cannot be measured; the message begins with its name.
    """
    name = f"{ccd}_q{qid}"
    _check(image, header, ccd, qid, camera, name)
    wcs = wcs_of(header, name)
    mjd = required_number(header, "OBSMJD", name, "the date (MJD)")
    try:
        bad = is_bad(image.mask) | ~np.isfinite(image.data) | ~np.isfinite(image.variance)
        data = np.ascontiguousarray(image.data, dtype=np.float32)
        if stars is None:
            around = _detected_stars(data, image.mask, bad, wcs, recipe)
        else:
            years = julian_epoch(mjd) - epoch
            isolation = recipe.isolation_arcsec
            around = reference_stars(stars, wcs, data.shape, years=years, isolation_arcsec=isolation, margin=_BEYOND)
        inside = is_inside(around.x, around.y, data.shape)
        on_image, beyond = around.take(inside), around.take(~inside)
        background, measured = measure_stars(data, image.variance, bad, on_image, beyond, recipe)
        middle = mjd + exposure_time(header, name) / 2 / SECONDS_PER_DAY
        air = airmass(on_image.ra, on_image.dec, middle) if len(on_image.ra) else np.zeros(0)
    except BadData as error:
        raise BadData(f"{name}: {error}") from error
    flags = bits_within(np.asarray(image.mask, dtype=np.uint16), on_image.x, on_image.y, max(recipe.radii))
    common = _common_columns(ccd, qid, header, len(on_image.x))
    sky = _sky_columns(on_image, background, camera, Quadrant(ccd.ccdid, qid))
    columns = common | sky | {"airmass": air, "flags": flags} | _aperture_columns(measured, recipe.radii)
    schema = catalogue_schema(recipe.radii)
    # What is not known (a colour, the seeing) becomes null.
    arrays = [pa.array(columns[field.name], from_pandas=True).cast(field.type) for field in schema]
    return _sorted(pa.table(arrays, schema=schema))


def measure_stars(
    data: NDArray[np.float32],
    variance: NDArray,
    bad: NDArray[np.bool_],
    stars: Stars,
    beyond: Stars,
    recipe: PhotometryRecipe,
) -> tuple[Background, Apertures]:
    """Background beside the stars on the image and beyond it, then the fluxes of the former over it.

    Parameters
    ----------
    data : (row, column), ADU
    variance : (row, column), ADU^2
        Variance of each pixel, as foretold.
    bad : (row, column)
        Not finite in data or variance, or not to be trusted.
    stars, beyond
        On the image, and beyond its borders.

    Raises
    ------
    BadData
        The image has no sky.
    """
    level, rms = clipped_mean(data, bad, thin=_GLANCE)
    ignored = bad
    if rms > 0:
        rough = sep.sum_circle(data, stars.x, stars.y, _ROUGH_RADIUS, mask=bad, subpix=1)[0]
        rough -= np.pi * _ROUGH_RADIUS**2 * level
        ignored = bad | mask_sources(data.shape, stars.x, stars.y, rough, rms)
        ignored |= mask_sources(data.shape, beyond.x, beyond.y, _flux_like(stars, rough, beyond), rms)
    if ignored.all():  # stars everywhere: better a sky with stars in it than none
        ignored = bad
    box = recipe.background_box
    background = measure_background(data, ignored, box=box)
    above = data - background.level
    noise = measure_noise(above, variance, background, ignored, box=box)
    return background, aperture_photometry(above, variance, bad, stars.x, stars.y, recipe.radii, sky=noise)


def join_quadrants(tables: Sequence[pa.Table]) -> pa.Table:
    """One table of a CCD exposure from those of its quadrants, sorted by star_id (then qid, y, x)."""
    if not tables:
        raise ValueError("no quadrant to join; expected at least one table")
    return _sorted(pa.concat_tables(tables).unify_dictionaries().combine_chunks())


def file_metadata(ccd: CcdExposure, recipe: PhotometryRecipe, versions: Mapping[str, str]) -> dict[str, str]:
    """What the file of a catalogue says of itself, beside its columns."""
    return {
        "exposure": str(ccd.exposure),
        "ccd": str(ccd.ccdid),
        "filter": str(ccd.exposure.filter),
        "radii": " ".join(f"{radius:g}" for radius in recipe.radii),
        "isolation_arcsec": f"{recipe.isolation_arcsec:g}",
        **{f"version.{package}": version for package, version in sorted(versions.items())},
    }


def summary(table: pa.Table) -> dict[str, Value]:
    """Small facts about a catalogue, for its manifest: numbers of stars, medians over the stars, pixels of the sky."""

    def median(name: str) -> float | None:
        values = np.asarray(table[name].to_numpy(), dtype=np.float64)
        values = values[np.isfinite(values)]
        return round(float(np.median(values)), 4) if values.size else None

    return {
        "n_stars": table.num_rows,
        "n_isolated": int(np.count_nonzero(table["isolated"].to_numpy())),
        "background": median("background"),
        "background_rms": median("background_rms"),
        "seeing": median("seeing"),
        "pixels": pixels_touched(table["star_id"].to_numpy()),
    }


def _check(image: Image, header: fits.Header, ccd: CcdExposure, qid: int, camera: Camera, name: str) -> None:
    if image.data.shape != camera.shape:
        raise BadData(
            f"{name}: the image has {image.data.shape} pixels, a quadrant of camera {camera.name!r} {camera.shape}; "
            "check which camera the run is for"
        )
    if "OBSMJD" not in header:
        raise BadData(f"{name}: the header has no OBSMJD, the date; fetch the header again, or leave the quadrant out")
    mjd = required_number(header, "OBSMJD", name, "the date (MJD)")
    if not FIRST_MJD <= mjd <= LAST_MJD:
        raise BadData(f"{name}: OBSMJD is {mjd}, no date of this survey; fetch the header again")
    identity = _identity(header, "CCDID", ccd.ccdid), _identity(header, "QID", qid)
    if identity != (ccd.ccdid, qid):
        raise BadData(
            f"{name}: the header is that of CCD {identity[0]} qid {identity[1]}; expected CCD {ccd.ccdid} qid {qid}: "
            "fetch the header again"
        )


def quality_bits(header: fits.Header) -> int | None:
    """INFOBITS; 0 for an image without such a card, None where it cannot be read."""
    bits = integer(header, "INFOBITS") if "INFOBITS" in header else 0
    return bits if bits is not None and 0 <= bits < 2**31 else None


def exposure_time(header: fits.Header, name: str) -> float:
    """Seconds, of EXPTIME or else EXPOSURE; 0 for an image with neither card."""
    if "EXPTIME" not in header and "EXPOSURE" not in header:
        return 0.0
    for key in ("EXPTIME", "EXPOSURE"):
        seconds = number(header, key)
        if seconds is not None and 0 <= seconds <= SECONDS_PER_DAY:
            return seconds
    raise BadData(
        f"{name}: {describe(header, 'EXPTIME')} and {describe(header, 'EXPOSURE')}; expected the exposure time in "
        "seconds, without which the air mass is not known: fetch the header again"
    )


def _identity(header: fits.Header, key: str, expected: int) -> int:
    value = integer(header, key)
    return expected if value is None else value


def _detected_stars(
    data: NDArray[np.float32], mask: NDArray[np.uint16], bad: NDArray[np.bool_], wcs: WCS, recipe: PhotometryRecipe
) -> Stars:
    """Sources of the image as stars.  Saturated pixels belong to their star."""
    background = measure_background(data, bad, box=recipe.background_box)
    not_saturated = bad & ((mask & np.uint16(MaskBit.SATURATED)) == 0)
    flat = fill_bad_pixels(data - background.level, ~np.isfinite(data))
    sources = detect_sources(flat, background.rms.plane(), not_saturated, threshold=recipe.detection_sigma)
    ra, dec = wcs.all_pix2world(sources.x, sources.y, 0)
    unknown = np.full(len(sources.x), np.nan, dtype=np.float32)
    isolated = is_isolated(ra, dec, recipe.isolation_arcsec)
    star_id = np.full(len(sources.x), DETECTED, dtype=np.int64)
    return Stars(star_id, ra, dec, sources.x, sources.y, isolated, unknown, unknown, unknown)


def _flux_like(stars: Stars, flux: NDArray, neighbours: Stars) -> NDArray[np.float64]:
    """Roughly the flux of other stars, from their magnitudes and the stars measured; 0 if nothing tells."""
    scale = flux * 10 ** (0.4 * stars.g_mag.astype(np.float64))
    scale = scale[np.isfinite(scale)]
    if not scale.size:
        return np.zeros(len(neighbours.x))
    return np.nan_to_num(np.median(scale) * 10 ** (-0.4 * neighbours.g_mag.astype(np.float64)))


def _common_columns(ccd: CcdExposure, qid: int, header: fits.Header, n_star: int) -> dict[str, object]:
    """Columns that are alike for all stars of a quadrant."""
    exposure = ccd.exposure
    same = {
        "exposure": np.int64(exposure.filefracday),
        "field": exposure.field,
        "ccd": ccd.ccdid,
        "qid": qid,
        "rcid": Quadrant(ccd.ccdid, qid).rcid,
        "mjd": required_number(header, "OBSMJD", str(ccd)),
        "seeing": np.nan if (seeing := number(header, "SEEING")) is None else seeing,
    }
    # Unknown bits are null, which no selection of good quadrants takes for a good one.
    infobits = pa.array([quality_bits(header)] * n_star, pa.int32())
    filters = pa.DictionaryArray.from_arrays(np.zeros(n_star, dtype=np.int8), pa.array([str(exposure.filter)]))
    return {name: np.full(n_star, value) for name, value in same.items()} | {
        "filter": filters,
        "infobits": infobits,
    }


def _sky_columns(stars: Stars, background: Background, camera: Camera, quadrant: Quadrant) -> dict[str, object]:
    rows, columns = background.level.shape
    i = np.clip(np.rint(stars.x).astype(int), 0, columns - 1)
    j = np.clip(np.rint(stars.y).astype(int), 0, rows - 1)
    u, v = camera.focal_plane(quadrant, stars.x, stars.y)
    return {
        "star_id": stars.star_id,
        "x": stars.x,
        "y": stars.y,
        "u": u,
        "v": v,
        "ra": stars.ra,
        "dec": stars.dec,
        "colour": stars.bp_mag - stars.rp_mag,
        "g_mag": stars.g_mag,
        "bp_mag": stars.bp_mag,
        "rp_mag": stars.rp_mag,
        "isolated": stars.isolated,
        "background": background.level[j, i],
        "background_rms": background.rms.at(stars.x, stars.y),
    }


def _aperture_columns(measured: Apertures, radii: Sequence[float]) -> dict[str, object]:
    columns: dict[str, object] = {}
    for k, radius in enumerate(radii):
        columns[f"r_{k}"] = np.full(len(measured.flux), radius)
        columns[f"f_{k}"] = measured.flux[:, k]
        columns[f"f_{k}_e"] = measured.error[:, k]
        columns[f"f_{k}_f"] = measured.flag[:, k]
    return columns


def _sorted(table: pa.Table) -> pa.Table:
    return table.sort_by([(name, "ascending") for name in ("star_id", "qid", "y", "x")])
