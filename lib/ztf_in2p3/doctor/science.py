"""Science headers of a CCD exposure: whose they are, where they look, how the sky lies on their pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.io import fits

from ztf_in2p3.camera import Camera
from ztf_in2p3.cards import integer, required_number, text
from ztf_in2p3.catalogue.stars import wcs_of
from ztf_in2p3.directions import tangent_plane
from ztf_in2p3.doctor.findings import Check, Result, differs, ok
from ztf_in2p3.doctor.keywords import SCIENCE, present, types, values
from ztf_in2p3.identifiers import CcdExposure, Quadrant

SCALE_TOLERANCE = 0.01
"""Fraction."""
MAX_TURN = 0.1
"""Radians by which the axes may be turned from west and south."""
_SEND = "send us the JSON report before reducing"


@dataclass(frozen=True, slots=True, eq=False)
class ScienceHeaders:
    """Headers of the archive's science images of one CCD exposure, by qid, and what they should be of."""

    headers: dict[int, fits.Header]
    ccd: CcdExposure
    camera: Camera
    primary: fits.Header
    """Primary header of the raw file."""

    @property
    def named(self) -> list[tuple[str, fits.Header]]:
        """Headers in the order of the quadrants, each with its name for messages."""
        return [(f" of q{qid}", header) for qid, header in sorted(self.headers.items())]


def sizes(science: ScienceHeaders) -> Result:
    """Shapes of the images against those of the raw quadrants."""
    rows, columns = science.camera.shape
    wrong = []
    for qid, header in sorted(science.headers.items()):
        z = "Z" if "ZNAXIS" in header else ""
        size = tuple(integer(header, f"{z}NAXIS{axis}") for axis in (2, 1))
        if size != (rows, columns):
            wrong.append(f"q{qid} is {size[0]} x {size[1]}")
    expected = f"{rows} x {columns}, as the raw quadrants"
    if wrong:
        return differs(", ".join(wrong), expected, f"pixels of the raw frame and of the WCS do not agree: {_SEND}")
    return ok(f"{rows} x {columns}", expected)


def identity(science: ScienceHeaders) -> Result:
    """CCD and amplifier as the file's name says."""
    wrong = []
    for qid, header in sorted(science.headers.items()):
        stated = integer(header, "CCD_ID"), integer(header, "AMP_ID")
        if stated[0] not in (None, science.ccd.ccdid) or stated[1] not in (None, qid - 1):
            wrong.append(f"q{qid} has CCD_ID {stated[0]}, AMP_ID {stated[1]}")
    expected = f"CCD_ID {science.ccd.ccdid}, AMP_ID = qid - 1"
    return differs(", ".join(wrong), expected, _SEND) if wrong else ok(f"CCD_ID {science.ccd.ccdid}, AMP_ID right")


def date(science: ScienceHeaders) -> Result:
    """OBSMJD of the science headers against that of the raw file, within a second."""
    raw = required_number(science.primary, "OBSMJD", "raw file")
    dates = [required_number(header, "OBSMJD", f"science header of q{qid}") for qid, header in science.headers.items()]
    apart = max(abs(date - raw) for date in dates) * 86400
    observed, expected = f"{apart:.2f} s from the raw file's", "OBSMJD of the raw file within 1 s"
    return ok(observed, expected) if apart < 1 else differs(observed, expected, f"headers of another exposure? {_SEND}")


def astrometry(science: ScienceHeaders) -> Result:
    """Whether every header has a solution that can be used."""
    kinds = set()
    for qid, header in sorted(science.headers.items()):
        wcs_of(header, f"science header of q{qid}")  # raises BadData
        kinds.add(f"{text(header, 'CTYPE1')} {text(header, 'CTYPE2')}")
    expected = "RA---TPV DEC--TPV"
    if kinds != {expected}:
        return differs(", ".join(sorted(kinds)), expected, f"another projection than we have tried: {_SEND}")
    return ok(expected, expected)


def _matrix(header: fits.Header) -> np.ndarray:
    """Degrees east and north per column and row, (sky axis, image axis)."""
    return np.asarray(wcs_of(header, "science header").pixel_scale_matrix)


def scale(science: ScienceHeaders) -> Result:
    """Pixel scale of each quadrant's astrometric solution, arcsec."""
    scales = [3600 * np.sqrt(abs(np.linalg.det(_matrix(header)))) for header in science.headers.values()]
    expected = f"{science.camera.pixel_scale} arcsec within {SCALE_TOLERANCE:.0%}"
    text = f"{min(scales):.4f} to {max(scales):.4f} arcsec"
    right = all(abs(number / science.camera.pixel_scale - 1) <= SCALE_TOLERANCE for number in scales)
    return ok(text, expected) if right else differs(text, expected, f"binned, or another camera? {_SEND}")


def axes(science: ScienceHeaders) -> Result:
    """Columns run west and rows south."""
    words, wrong = [], False
    for qid, header in sorted(science.headers.items()):
        matrix = _matrix(header)
        (east_x, east_y), (north_x, north_y) = matrix / np.abs(matrix).max()
        along = max(abs(east_x), abs(north_y)) > max(abs(east_y), abs(north_x))
        columns = ("west" if east_x < 0 else "east") if along else ("south" if north_x < 0 else "north")
        rows = ("south" if north_y < 0 else "north") if along else ("west" if east_y < 0 else "east")
        turned = max(abs(east_y), abs(north_x)) > MAX_TURN
        words.append(f"q{qid} {columns}, {rows}")
        wrong |= (columns, rows) != ("west", "south") or turned
    expected = "columns run west, rows south, in every quadrant"
    if wrong:
        return differs("; ".join(words), expected, f"the mosaic would be put together wrongly: {_SEND}")
    return ok("columns west, rows south", expected)


def place(science: ScienceHeaders) -> Result:
    """Centre of each quadrant where the camera's layout has it, from where the telescope pointed."""
    camera = science.camera
    rows, columns = camera.shape
    tolerance = min(rows, columns) * camera.pixel_scale / 2 / 3600
    ra0, dec0 = float(science.primary["TELRAD"]), float(science.primary["TELDECD"])
    apart = {}
    for qid, header in sorted(science.headers.items()):
        ra, dec = wcs_of(header, f"q{qid}").all_pix2world((columns - 1) / 2, (rows - 1) / 2, 0)
        u, v = camera.focal_plane(Quadrant(science.ccd.ccdid, qid), (columns - 1) / 2, (rows - 1) / 2)
        nominal = np.array([u, v]) * camera.pixel_scale / 3600
        apart[qid] = float(np.hypot(*(tangent_plane(ra, dec, ra0, dec0) - nominal)))
    text = "; ".join(f"q{qid} {distance:.3f}" for qid, distance in apart.items()) + " deg"
    expected = f"within {tolerance:.3f} deg of the place of CCD {science.ccd.ccdid} on the sky"
    if max(apart.values()) > tolerance:
        return differs(text, expected, f"the layout of the CCDs or TELRAD, TELDECD are otherwise: {_SEND}")
    return ok(text, expected)


_VALUES = ("keywords", "keyword types", "keyword values")
CHECKS: tuple[Check[ScienceHeaders], ...] = (
    Check("keywords", lambda science: present(science.named, SCIENCE)),
    Check("keyword types", lambda science: types(science.named, SCIENCE)),
    Check("keyword values", lambda science: values(science.named, SCIENCE)),
    Check("size", sizes),
    Check("identity", identity),
    Check("date", date, _VALUES),
    Check("astrometry", astrometry),
    Check("pixel scale", scale, ("astrometry",)),
    Check("axes", axes, ("astrometry",)),
    Check("place in the camera", place, ("astrometry",)),
)
