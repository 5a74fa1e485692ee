"""Directions in which pixels look: the astrometry of each quadrant, as the cards of a TPV header.

The stars are placed with the very cards that are written, so the header is the truth.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import ArrayLike, NDArray

from ztf_in2p3.camera import Camera
from ztf_in2p3.identifiers import Quadrant
from ztf_in2p3.simulate.exposures import NightPlan, ObjectFrame
from ztf_in2p3.simulate.seeds import generator

DISTORTION_PIXELS = 0.5
"""Typical size of each distortion term at the edge of a quadrant."""
POINTING_ERROR_DEG = 5 / 3600
ROTATION_ERROR_DEG = 0.03
_PV_TERMS = {1: (1, 0), 2: (0, 1), 4: (2, 0), 5: (1, 1), 6: (0, 2), 7: (3, 0), 8: (2, 1), 9: (1, 2), 10: (0, 3)}
"""Powers of (xi, eta) in axis 1 and of (eta, xi) in axis 2 (Shupe et al. 2012, Proc. SPIE 8451, 84511M)."""


def quadrant_wcs(plan: NightPlan, frame: ObjectFrame, quadrant: Quadrant) -> WCS:
    """Astrometric solution of a quadrant exposure."""
    return WCS(astrometry(plan, frame, quadrant))


def centre_pixel(camera: Camera) -> tuple[float, float]:
    """Column and row of the centre of a quadrant, counted from 0."""
    rows, columns = camera.shape
    return (columns - 1) / 2, (rows - 1) / 2


@lru_cache(maxsize=64)
def _cards(plan: NightPlan, frame: ObjectFrame, quadrant: Quadrant) -> tuple[tuple[str, str | int | float, str], ...]:
    camera = plan.camera
    x0, y0 = centre_pixel(camera)
    ra0, dec0 = field_position(plan, frame, quadrant, x0, y0)
    # The same pixels, seen from the quadrant's own tangent point: north turns on the way there.
    step = 10.0
    cd = np.empty((2, 2))
    for axis, (dx, dy) in enumerate(((step, 0.0), (0.0, step))):
        ahead = project(*field_position(plan, frame, quadrant, x0 + dx, y0 + dy), ra0, dec0)
        behind = project(*field_position(plan, frame, quadrant, x0 - dx, y0 - dy), ra0, dec0)
        cd[:, axis] = (np.array(ahead) - np.array(behind)) / (2 * step)

    cards: list[tuple[str, str | int | float, str]] = [
        ("WCSAXES", 2, "Number of WCS axes"),
        ("WCSNAME", "ZTF", "Name of the WCS coordinate system"),
        ("RADESYS", "ICRS", "Coordinate reference system"),
        ("EQUINOX", 2000.0, "Equinox"),
        ("CTYPE1", "RA---TPV", "Name of coord X axis"),
        ("CTYPE2", "DEC--TPV", "Name of coord Y axis"),
        ("CRPIX1", x0 + 1, "Coord system X ref pixel"),
        ("CRPIX2", y0 + 1, "Coord system Y ref pixel"),
        ("CRVAL1", _written(ra0), "Coord system value at CRPIX1"),
        ("CRVAL2", _written(dec0), "Coord system value at CRPIX2"),
        ("CUNIT1", "deg", "Coordinate units for X axis"),
        ("CUNIT2", "deg", "Coordinate units for Y axis"),
    ]
    cards += [(f"CD{i + 1}_{j + 1}", _written(cd[i, j]), "WCS matrix") for i in (0, 1) for j in (0, 1)]
    return (*cards, *_distortion(plan, quadrant))


def astrometry(plan: NightPlan, frame: ObjectFrame, quadrant: Quadrant) -> fits.Header:
    """Cards of the astrometric solution of a quadrant."""
    return fits.Header(_cards(plan, frame, quadrant))


def _distortion(plan: NightPlan, quadrant: Quadrant) -> list[tuple[str, str | int | float, str]]:
    """PV cards: constant in time, of any size of quadrant the same number of pixels at its edge."""
    draw = generator(plan.seed, "distortion", quadrant.rcid)
    degree = plan.camera.pixel_scale / 3600
    half = max(plan.camera.shape) / 2 * degree
    cards: list[tuple[str, str | int | float, str]] = []
    for axis in (1, 2):
        for term, powers in _PV_TERMS.items():
            order = sum(powers)
            size = DISTORTION_PIXELS * degree / half**order * (0.1 if order == 1 else 1.0)
            value = _written((1.0 if term == 1 else 0.0) + size * draw.uniform(-1, 1))
            cards.append((f"PV{axis}_{term}", value, "Projection distortion parameter"))
    return cards


def field_position(
    plan: NightPlan, frame: ObjectFrame, quadrant: Quadrant, x: ArrayLike, y: ArrayLike
) -> tuple[NDArray, NDArray]:
    """Sky position (deg) of pixels in a camera without distortion, pointed nearly where it was sent.

    All have one shape.
    """
    draw = generator(plan.seed, "pointing", int(frame.exposure.filefracday))
    error_ra, error_dec = draw.normal(0, POINTING_ERROR_DEG, 2)
    turn = np.deg2rad(draw.normal(0, ROTATION_ERROR_DEG))
    u, v = plan.camera.focal_plane(quadrant, x, y)
    xi, eta = (np.asarray(w) * plan.camera.pixel_scale / 3600 for w in (u, v))
    xi, eta = xi * np.cos(turn) - eta * np.sin(turn), xi * np.sin(turn) + eta * np.cos(turn)
    return deproject(xi, eta, frame.ra + error_ra / np.cos(np.deg2rad(frame.dec)), frame.dec + error_dec)


def axis_position(plan: NightPlan, frame: ObjectFrame) -> tuple[float, float]:
    """Direction of the optical axis, degrees: not quite where the telescope was sent."""
    anywhere = Quadrant(1, 1)
    ra, dec = field_position(plan, frame, anywhere, *plan.camera.pixel(anywhere, 0.0, 0.0))
    return float(ra), float(dec)


def project(ra: ArrayLike, dec: ArrayLike, ra0: ArrayLike, dec0: ArrayLike) -> tuple[NDArray, NDArray]:
    """Gnomonic projection: degrees east and north on the plane tangent at (ra0, dec0)."""
    a, d, d0 = np.deg2rad(np.asarray(ra) - np.asarray(ra0)), np.deg2rad(dec), np.deg2rad(dec0)
    depth = np.sin(d0) * np.sin(d) + np.cos(d0) * np.cos(d) * np.cos(a)
    xi = np.cos(d) * np.sin(a) / depth
    eta = (np.cos(d0) * np.sin(d) - np.sin(d0) * np.cos(d) * np.cos(a)) / depth
    return np.rad2deg(xi), np.rad2deg(eta)


def deproject(xi: ArrayLike, eta: ArrayLike, ra0: float, dec0: float) -> tuple[NDArray, NDArray]:
    """Inverse of `project`.  All have one shape."""
    x, y, d0 = np.deg2rad(xi), np.deg2rad(eta), np.deg2rad(dec0)
    depth = np.cos(d0) - y * np.sin(d0)
    ra = ra0 + np.rad2deg(np.arctan2(x, depth))
    return ra % 360, np.rad2deg(np.arctan2(np.sin(d0) + y * np.cos(d0), np.hypot(x, depth)))


def _written(value: ArrayLike) -> float:
    """Number as a card holds it: twelve decimals and an exponent, like the archive's."""
    return float(f"{float(np.asarray(value)):.12E}")
