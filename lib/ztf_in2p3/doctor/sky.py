"""The reference catalogue laid on a detrended image: orientation, offset, scatter, zero point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
import sep
from astropy.io import fits
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ztf_in2p3.cards import number, required_number
from ztf_in2p3.catalogue.stars import Stars, reference_stars, wcs_of
from ztf_in2p3.directions import julian_epoch
from ztf_in2p3.doctor.findings import Check, Result, differs, failed, ok, skipped
from ztf_in2p3.identifiers import Filter
from ztf_in2p3.robust_statistics import robust_sigmas

BAND = {Filter.ZG: (-0.05, 0.55), Filter.ZR: (0.05, -0.10), Filter.ZI: (0.15, -0.40)}
"""m - G = constant + slope (BP - RP) to a tenth of a magnitude (Gaia DR3 documentation, section 5.5.1, linearised)."""
MAX_OFFSET, MAX_SCATTER = 1.0, 0.4
"""Pixels."""
MAX_ZERO_POINT = 0.35
"""Magnitudes: flat of one lamp, band of a table, aperture without correction."""
SURVEY_COLOUR = {Filter.ZG: 0.75, Filter.ZR: 0.75, Filter.ZI: 0.35}
"""The colour that CLRCOEFF multiplies (PS1 g - r, in zi r - i) over Gaia's BP - RP, for stars of the main sequence."""
MAX_COLOUR_TERM = 0.25
"""Magnitudes per magnitude: the bands of the table are linear, stars are not; CLRCOEFF itself is about -0.05 to 0.1."""
FEWEST_COLOURS = 20
"""Stars of a CCD that give a slope."""
_BRIGHTEST, _MOST_SOURCES = 300, 3000
_FLIPS = {
    "as stored": (False, False),
    "columns reversed": (True, False),
    "rows reversed": (False, True),
    "columns and rows reversed": (True, True),
}
_THRESHOLD = 8.0
"""Noise of a pixel."""
_BIN = 3.0
"""Pixels of the search for an offset."""
FEWEST = 5
"""Stars and sources that make a match."""
_SEND = "send us the JSON report before reducing"


@dataclass(frozen=True, slots=True, eq=False)
class Sources:
    """Peaks of an image; arrays (source,): pixels, ADU in the aperture."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    flux: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """Reference stars and sources of a quadrant, laid on each other."""

    qid: int
    n_star: int
    """Reference stars tried."""
    n_match: int
    orientation: str
    """How the image is turned against its WCS; empty if no orientation brings stars and sources together."""
    offset: tuple[float, float]
    """Median of source - star, pixels."""
    scatter: float
    """Standard deviation of the coordinate that scatters more, pixels."""
    zero_point: float
    """Median of (magnitude of the star + 2.5 log10 flux), and of its header."""
    magzp: float
    clrcoeff: float
    residuals: NDArray[np.float64]
    """(star,): zero points by single stars, over the median; isolated ones, magnitudes."""
    colours: NDArray[np.float64]
    """(star,): g - r of them, r - i in zi, magnitudes; NaN where Gaia has no colour."""
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    """Places of the sources that match, pixels of the WCS."""

    @classmethod
    def measure(
        cls, qid: int, sources: Sources, shape: tuple[int, int], header: fits.Header, table: pa.Table, filter_: Filter
    ) -> Self:
        """Lay the reference stars on the sources of an image.

        Parameters
        ----------
        shape
            Rows and columns of the image.
        header
            Science header of the quadrant.
        table
            Columns of `ztf_in2p3.tables.REFERENCE`.
        """
        years = julian_epoch(required_number(header, "OBSMJD", f"science header of q{qid}")) - 2016
        stars = reference_stars(table, wcs_of(header, f"q{qid}"), shape, years=years, isolation_arcsec=8.0)
        stars = stars.take(np.isfinite(stars.g_mag) & (stars.g_mag > 12.5))
        stars = stars.take(np.argsort(stars.g_mag)[:_BRIGHTEST])
        return cls._laid(qid, stars, sources, header, filter_, shape)

    @classmethod
    def _laid(
        cls, qid: int, stars: Stars, sources: Sources, header: fits.Header, filter_: Filter, shape: tuple[int, int]
    ) -> Self:
        magzp, clrcoeff = number_of(header, "MAGZP", np.nan), number_of(header, "CLRCOEFF", np.nan)
        place, n_star = np.stack([stars.x, stars.y], axis=1), len(stars.x)
        tried = {}
        for name, flip in _FLIPS.items():
            detected = np.stack(
                [_flipped(sources.x, flip[0], shape[1]), _flipped(sources.y, flip[1], shape[0])], axis=1
            )
            tried[name] = (*_offset(place, detected, radius=min(60.0, min(shape) / 6)), detected)
        best = max(tried, key=lambda name: tried[name][0])
        count, shift, detected = tried[best]
        second = max(tried[name][0] for name in tried if name != best)
        nothing = np.zeros(0)
        if count < max(FEWEST, 0.2 * n_star) or count < 1.5 * second:
            unknown = (np.nan, np.nan)
            return cls(qid, n_star, 0, "", unknown, np.nan, np.nan, magzp, clrcoeff, *[nothing] * 4)
        distance, index = cKDTree(detected).query(place + shift, distance_upper_bound=2 * _BIN)
        near = np.isfinite(distance)
        apart = detected[index[near]] - place[near]
        dx, dy = np.median(apart, axis=0)
        scatter = robust_sigmas(apart).max()
        constant, slope = BAND[filter_]
        bp_rp = stars.bp_mag - stars.rp_mag
        magnitude = stars.g_mag + constant + slope * bp_rp
        used = stars.isolated[near] & (stars.g_mag[near] > 13.5)
        source = index[near]
        zero = magnitude[near] + 2.5 * np.log10(np.maximum(sources.flux[source], 1e-3))
        zero_point = float(np.nanmedian(zero[used] if used.sum() >= FEWEST else zero))
        return cls(
            qid,
            n_star,
            int(near.sum()),
            best,
            (float(dx), float(dy)),
            float(scatter),
            zero_point,
            magzp,
            clrcoeff,
            zero[used] - zero_point,
            bp_rp[near][used] * SURVEY_COLOUR[filter_],
            detected[source, 0],
            detected[source, 1],
        )


def turned(plane: NDArray, orientation: str) -> NDArray:
    """An image brought into the order of its WCS; a view.  `plane`: (row, column)."""
    columns, rows = _FLIPS[orientation]
    return plane[:: -1 if rows else 1, :: -1 if columns else 1]


def number_of(header: fits.Header, key: str, default: float) -> float:
    """A card's value where that is a number."""
    value = number(header, key)
    return default if value is None else float(value)


def find_sources(data: NDArray[np.float32], seeing: float) -> Sources:
    """The brightest peaks of an image, with windowed centroids and the flux in an aperture of 2.5 times the seeing.

    `data`: (row, column).
    """
    bad = ~np.isfinite(data)
    clean = np.ascontiguousarray(np.where(bad, np.nanmedian(data[::4, ::4]), data), dtype=np.float32)
    background = sep.Background(clean, mask=bad, bw=64, bh=64)
    clean -= background.back()
    peaks = sep.extract(clean, _THRESHOLD, err=background.globalrms, mask=bad, minarea=4)
    peaks = peaks[np.argsort(-peaks["flux"])[:_MOST_SOURCES]]
    x, y, _ = sep.winpos(clean, peaks["x"], peaks["y"], np.full(len(peaks), max(seeing, 1.2) / 2.355))
    flux, _, _ = sep.sum_circle(clean, x, y, 2.5 * min(max(seeing, 1.2), 5.0))
    return Sources(np.asarray(x, float), np.asarray(y, float), np.asarray(flux, float))


def _flipped(pixel: NDArray[np.float64], flip: bool, n: int) -> NDArray[np.float64]:
    return n - 1 - pixel if flip else pixel


def _offset(stars: NDArray, sources: NDArray, radius: float) -> tuple[float, NDArray[np.float64]]:
    """How many pairs of star and source have the most frequent offset within a radius, and that offset.

    Places of stars and sources: (object, 2), columns and rows in pixels.
    """
    if not len(stars) or not len(sources):
        return 0, np.zeros(2)
    pairs = cKDTree(stars).query_ball_tree(cKDTree(sources), radius * np.sqrt(2))
    apart = np.concatenate(
        [sources[near] - stars[star] for star, near in enumerate(pairs) if near] or [np.zeros((0, 2))]
    )
    edges = np.arange(-radius - _BIN, radius + 2 * _BIN, _BIN)
    counts, _, _ = np.histogram2d(apart[:, 0], apart[:, 1], bins=(edges, edges))
    # Four neighbouring bins together: a peak on an edge is not halved.
    blocks = counts[:-1, :-1] + counts[1:, :-1] + counts[:-1, 1:] + counts[1:, 1:]
    i, j = np.unravel_index(np.argmax(blocks), blocks.shape)
    return float(blocks[i, j]), np.array([edges[i + 1], edges[j + 1]])


Matches = list[Match]


def orientation(matches: Matches) -> Result:
    """How the image lies against its astrometric solution, quadrant by quadrant."""
    expected = "the pixel order of IPAC's science image: stars where the WCS says, in every quadrant"
    if not matches:
        remedy = "the catalogue has no stars there: name another with --reference"
        return failed("no reference star on the image", expected, remedy)
    lost = [match for match in matches if not match.orientation]
    if lost:
        observed = ", ".join(f"q{match.qid}: of {match.n_star} stars none or few have a source" for match in lost)
        remedy = "turned in any way, stars and sources stay apart: a wrong catalogue, WCS or frame, or clouds"
        return failed(observed, expected, f"{remedy}; {_SEND}")
    if any(match.orientation != "as stored" for match in matches):
        return differs(", ".join(f"q{m.qid} {m.orientation}" for m in matches), expected, _SEND)
    return ok(", ".join(f"q{m.qid} {m.n_match} of {m.n_star} stars" for m in matches), expected)


def offset(matches: Matches) -> Result:
    """Offset of the sources from the reference stars, pixels."""
    words = ", ".join(f"q{m.qid} {m.offset[0]:+.2f} {m.offset[1]:+.2f}" for m in matches) + " pixels (x, y)"
    expected = f"within {MAX_OFFSET:g} pixel of the WCS"
    wrong = any(max(map(abs, match.offset)) > MAX_OFFSET for match in matches)
    remedy = "a pixel counted from 1, a column dropped, a catalogue without its epoch? " + _SEND
    return differs(words, expected, remedy) if wrong else ok(words, expected)


def scatter(matches: Matches) -> Result:
    """Scatter of the sources about the reference stars, pixels."""
    words = ", ".join(f"q{match.qid} {match.scatter:.2f}" for match in matches) + " pixels"
    expected = f"{MAX_SCATTER:g} pixels at most"
    wrong = any(match.scatter > MAX_SCATTER for match in matches)
    remedy = "the distortion of the WCS is read otherwise than it is meant, or the seeing was bad: " + _SEND
    return differs(words, expected, remedy) if wrong else ok(words, expected)


def zero_point(matches: Matches) -> Result:
    """Zero point by the reference stars against the header's, magnitudes."""
    if not any(np.isfinite(match.magzp) for match in matches):
        return skipped("needs MAGZP in the science headers")
    matches = [match for match in matches if np.isfinite(match.magzp)]
    apart = [match.zero_point - match.magzp for match in matches]
    words = ", ".join(f"q{match.qid} {number:+.2f}" for match, number in zip(matches, apart, strict=True))
    expected = f"MAGZP ({', '.join(f'{match.magzp:.2f}' for match in matches)}) within {MAX_ZERO_POINT:g} mag"
    wrong = any(not abs(number) <= MAX_ZERO_POINT for number in apart)
    remedy = "MAGZP means other units or another exposure time than we believe, or the flat another level: " + _SEND
    return differs(f"{words} mag", expected, remedy) if wrong else ok(f"{words} mag from it", expected)


def colour_term(matches: Matches) -> Result:
    """Slope of the stars' zero points with colour, of all quadrants, against CLRCOEFF: redder half over bluer half."""
    known = [match for match in matches if np.isfinite(match.clrcoeff)]
    if not known:
        return skipped("needs CLRCOEFF in the science headers")
    residual, colour = (np.concatenate(parts) for parts in ([m.residuals for m in known], [m.colours for m in known]))
    usable = np.isfinite(residual) & np.isfinite(colour)
    residual, colour = residual[usable], colour[usable]
    red = colour > (np.median(colour) if len(colour) else 0)
    if len(colour) < FEWEST_COLOURS or not red.any():
        return skipped(f"{len(colour)} isolated stars of known colour are too few")
    step, width = (np.median(values[red]) - np.median(values[~red]) for values in (residual, colour))
    coefficient = float(np.median([match.clrcoeff for match in known]))
    expected = f"CLRCOEFF ({coefficient:.2f} in the median) within {MAX_COLOUR_TERM:g} mag / mag"
    remedy = "CLRCOEFF multiplies another colour, or with another sign, than we believe: " + _SEND
    words = f"{step / width:+.2f} mag / mag by {len(colour)} stars"
    right = abs(step / width - coefficient) <= MAX_COLOUR_TERM
    return ok(words, expected) if right else differs(words, expected, remedy)


CHECKS = (
    Check("orientation", orientation),
    Check("offset", offset, ("orientation",)),
    Check("scatter", scatter, ("orientation",)),
    Check("zero point", zero_point, ("orientation",)),
    Check("colour term", colour_term, ("orientation",)),
)
