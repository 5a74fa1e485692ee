"""Whether a header says where its pixels look, and where: the one reader of world coordinates.

Only the cards of the celestial solution are looked at (FITS WCS papers I and II, Greisen & Calabretta 2002, A&A 395,
1061 and 1077; TPV and SIP conventions of the FITS registry), so that plate scales of scanners, tables of distortions
or third axes elsewhere in the header cannot get into the way.  Each of them must be a number that is known, since a
term that cannot be read is no term that is zero.

What comes out is a solution whose first world axis is right ascension and whose second is declination, ICRS, in
degrees, and that is one to one over the image.  Other frames are refused and not converted: pixels are placed both
ways, and stars of the reference catalogue are ICRS.
"""

from __future__ import annotations

import re
import warnings

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, NoConvergence
from numpy.typing import ArrayLike, NDArray

from ztf_in2p3.cards import describe, integer, number, text, values
from ztf_in2p3.errors import BadData

NO_ASTROMETRY = 1 << 12
"""Bit of INFOBITS: the archive could not calibrate the astrometry."""
MAX_SIP_ORDER = 9
ROUND_TRIP_PIXELS = 0.1
"""How far from where it began a pixel's position may come back from the sky."""

_NUMBERS = re.compile(
    r"(CRVAL|CRPIX|CDELT|CROTA)[12]|(CD|PC)[12]_[12]|PV[12]_\d{1,2}|LONPOLE|LATPOLE|[AB]P?_(ORDER|DMAX|\d_\d)"
)
_TABLES = re.compile(r"(CPDIS|CQDIS|D2IMDIS)[12]")
"""Distortions given by a table in another HDU."""
_DO = "fetch the header again, or leave the quadrant out"


def read_wcs(header: fits.Header, name: str) -> WCS:
    """World coordinates of an image: pixels to ICRS right ascension and declination, degrees.

    Parameters
    ----------
    name
        Name of the file or quadrant, for the message.

    Raises
    ------
    BadData
        The header has none that can be used; the message says why.
    """
    types = _axis_types(header, name)
    flags = integer(header, "INFOBITS") or 0
    if flags & NO_ASTROMETRY:
        raise BadData(
            f"{name}: bit 12 of INFOBITS ({flags}) says that the astrometry was not calibrated; leave the quadrant out"
        )
    _require_icrs(header, name)
    lookup = [key for key in header if _TABLES.fullmatch(key) and text(header, key)]
    if lookup:
        raise BadData(
            f"{name}: {describe(header, lookup[0])}, a distortion in a table that the header does not hold; expected "
            "a solution of TPV, SIP or without distortion"
        )
    terms = _terms(header, name)
    if types[0].startswith("DEC"):
        types, terms = _swapped(types, terms, name)
    cards = fits.Header([("CTYPE1", types[0]), ("CTYPE2", types[1]), *terms.items(), ("RADESYS", "ICRS")])
    for axis in "12":
        if unit := text(header, f"CUNIT{axis}"):
            cards[f"CUNIT{axis}"] = unit
    wcs = _solution(cards, name)
    _require_one_to_one(wcs, header, name)
    return wcs


def image_shape(header: fits.Header) -> tuple[int, int] | None:
    """Rows and columns of the image, whether its pixels are there or not; None if nothing tells.

    A header that lost its pixels together with their numbers (NAXIS = 0 and no ZNAXIS1, as some trees keep science
    headers) still has its reference pixel, which in the archive's solutions is the centre of the quadrant.
    """
    for prefix in ("Z", ""):
        columns, rows = integer(header, f"{prefix}NAXIS1"), integer(header, f"{prefix}NAXIS2")
        if columns and rows and columns > 0 and rows > 0:
            return rows, columns
    centre = number(header, "CRPIX1"), number(header, "CRPIX2")
    if None in centre or not all(1 < place < 2**15 for place in centre if place is not None):
        return None
    x, y = centre
    return round(2 * (y or 0) - 1), round(2 * (x or 0) - 1)


def sky_to_pixels(wcs: WCS, ra: ArrayLike, dec: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pixels (counted from 0) of positions on the sky (degrees); NaN where the solution does not reach.

    `ra`, `dec` and both results have one shape.
    """
    lon, lat = np.broadcast_arrays(np.asarray(ra, np.float64), np.asarray(dec, np.float64))
    try:
        x, y = wcs.all_world2pix(lon, lat, 0)
    except NoConvergence as error:
        good = np.array(error.best_solution, np.float64)
        for wrong in (error.divergent, error.slow_conv):
            if wrong is not None:
                good[wrong] = np.nan
        x, y = good.T.reshape(2, *lon.shape)
    except ValueError:  # wcslib's, if any of the positions cannot be projected: each for itself
        if lon.size < 2:
            return np.full(lon.shape, np.nan), np.full(lon.shape, np.nan)
        pairs = [sky_to_pixels(wcs, a, d) for a, d in zip(lon.ravel(), lat.ravel(), strict=True)]
        x, y = np.array(pairs, np.float64).T.reshape(2, *lon.shape)
    return np.asarray(x, np.float64), np.asarray(y, np.float64)


def _axis_types(header: fits.Header, name: str) -> tuple[str, str]:
    missing = [card for card in ("CTYPE1", "CTYPE2", "CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2") if card not in header]
    if missing:
        raise BadData(
            f"{name}: the header has no world coordinates (missing {', '.join(missing)}); expected the archive's "
            f"science header with its TPV solution: {_DO}"
        )
    types = text(header, "CTYPE1") or "", text(header, "CTYPE2") or ""
    if {types[0][:5].rstrip("-"), types[1][:5].rstrip("-")} != {"RA", "DEC"}:
        raise BadData(
            f"{name}: {describe(header, 'CTYPE1')} and {describe(header, 'CTYPE2')}, no position on the sky by right "
            f"ascension and declination; expected RA---TPV and DEC--TPV (convert other coordinates first): {_DO}"
        )
    return types


def _require_icrs(header: fits.Header, name: str) -> None:
    """ICRS, or FK5 of J2000, which is the same to 0.02 arcsec (Mignard & Froeschle 2000, A&A 354, 732)."""
    key = "RADESYS" if "RADESYS" in header else "RADECSYS"
    frame = (text(header, key) or "").upper()
    if frame == "ICRS":
        return
    epoch = "EQUINOX" if "EQUINOX" in header else "EPOCH"
    equinox = number(header, epoch)
    if frame in ("", "FK5") and (equinox == 2000 or (equinox is None and not (frame or values(header, epoch)))):
        return
    problem = describe(header, key) if frame else describe(header, epoch)
    raise BadData(f"{name}: {problem}; expected positions of ICRS, or FK5 with EQUINOX 2000: convert them, or {_DO}")


def _terms(header: fits.Header, name: str) -> dict[str, float]:
    """The numbers of the solution."""
    terms: dict[str, float] = {}
    for key in dict.fromkeys(key for key in header if _NUMBERS.fullmatch(key)):
        value = number(header, key)
        if value is None:
            raise BadData(f"{name}: {describe(header, key)}; expected a number of the astrometric solution: {_DO}")
        terms[key] = value
    if abs(terms.get("CRVAL1", 0)) > 360 or abs(terms.get("CRVAL2", 0)) > 360:
        raise BadData(f"{name}: {describe(header, 'CRVAL1')}, {describe(header, 'CRVAL2')}; expected degrees: {_DO}")
    for key in ("A_ORDER", "B_ORDER", "AP_ORDER", "BP_ORDER"):
        if not 0 <= terms.get(key, 0) <= MAX_SIP_ORDER:
            raise BadData(f"{name}: {describe(header, key)}; expected at most {MAX_SIP_ORDER}: {_DO}")
        if key in terms:
            terms[key] = int(terms[key])
    matrix = [f"CD{i}_{j}" for i in "12" for j in "12"]
    given_matrix = [key for key in matrix if key in terms]
    if given_matrix and given_matrix != matrix and given_matrix != ["CD1_1", "CD2_2"]:
        lost = next(key for key in matrix if key not in terms)
        raise BadData(f"{name}: {describe(header, lost)}; expected all four of the CD matrix, or its diagonal: {_DO}")
    if given_matrix:  # what is left over from other conventions does not count then (paper I, section 2.1.2)
        terms = {key: value for key, value in terms.items() if not re.match("CDELT|CROTA|PC", key)}
    elif not {"CDELT1", "CDELT2"} <= set(terms):
        raise BadData(f"{name}: neither CD1_1 nor CDELT1 and CDELT2 are there; expected the scale of the pixels: {_DO}")
    return terms


def _swapped(types: tuple[str, str], terms: dict[str, float], name: str) -> tuple[tuple[str, str], dict[str, float]]:
    """The same solution with right ascension first."""
    if any(key.startswith(("PV", "CROTA")) for key in terms):
        raise BadData(
            f"{name}: declination is the first axis of a solution with PV or CROTA cards; expected right ascension "
            f"first: {_DO}"
        )
    axis = re.compile(r"(CRVAL|CDELT|CD|PC)([12])(.*)")
    turned = {
        axis.sub(lambda part: part[1] + {"1": "2", "2": "1"}[part[2]] + part[3], key): value
        for key, value in terms.items()
    }
    if not any(key.startswith("CD") and "_" in key for key in turned):  # the unit matrix is turned too
        matrix = {key: turned.pop(key, None) for key in ("PC1_1", "PC1_2", "PC2_1", "PC2_2")}
        for key, unit in {"PC1_1": 0.0, "PC1_2": 1.0, "PC2_1": 1.0, "PC2_2": 0.0}.items():
            value = matrix[key]
            turned[key] = unit if value is None else value
    return (types[1], types[0]), turned


def _solution(cards: fits.Header, name: str) -> WCS:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wcs = WCS(cards, naxis=2, fix=False)
            wcs.wcs.set()
            if not wcs.has_celestial or wcs.wcs.lng != 0:
                raise ValueError(f"{cards['CTYPE1']!r} and {cards['CTYPE2']!r} are no position on the sky")
            if not np.all(np.isfinite(np.linalg.inv(wcs.pixel_scale_matrix))):
                raise ValueError("the matrix is singular")
    except (
        ValueError,
        KeyError,
        TypeError,
        ArithmeticError,
        MemoryError,
    ) as error:  # WcsError, LinAlgError: ValueErrors
        reason = " ".join(str(error).split())
        raise BadData(f"{name}: its astrometric solution cannot be used ({reason}); {_DO}") from error
    return wcs


def _require_one_to_one(wcs: WCS, header: fits.Header, name: str) -> None:
    rows, columns = image_shape(header) or (2, 2)
    x, y = (grid.ravel() for grid in np.meshgrid(np.linspace(0, columns - 1, 3), np.linspace(0, rows - 1, 3)))
    try:
        back = np.array(sky_to_pixels(wcs, *wcs.all_pix2world(x, y, 0)))
    except ValueError as error:
        raise BadData(f"{name}: its astrometric solution does not reach all pixels ({error}); {_DO}") from error
    off = np.hypot(*(back - [x, y])).max()
    if not off <= ROUND_TRIP_PIXELS:
        raise BadData(
            f"{name}: its astrometric solution brings pixels back {off:.3g} pixels from where they were; expected "
            f"less than {ROUND_TRIP_PIXELS}: {_DO}"
        )
