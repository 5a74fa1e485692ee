"""Stars of a reference catalogue, brought to the date and the pixels of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import pyarrow as pa
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ztf_in2p3.astrometry import read_wcs, sky_to_pixels
from ztf_in2p3.directions import tangent_plane, unit_vectors
from ztf_in2p3.errors import BadData
from ztf_in2p3.tables import REFERENCE
from ztf_in2p3.tables.column import numbers


@dataclass(frozen=True, slots=True, eq=False)
class Stars:
    """Stars on an image; arrays (star,)."""

    star_id: NDArray[np.int64]
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    """ICRS at the exposure's epoch, degrees."""
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    """Pixels; 0 is the centre of the first."""
    isolated: NDArray[np.bool_]
    g_mag: NDArray[np.float32]
    bp_mag: NDArray[np.float32]
    rp_mag: NDArray[np.float32]

    def take(self, chosen: NDArray) -> Self:
        """Some of the stars, by a mask or indices (star,)."""
        return type(self)(*(getattr(self, column.name)[chosen] for column in fields(self)))


def wcs_of(header: fits.Header, name: str) -> WCS:
    """World coordinates of an image, see `ztf_in2p3.astrometry.read_wcs`."""
    return read_wcs(header, name)


def cone(wcs: Sequence[WCS], shape: tuple[int, int], beyond_arcsec: float) -> tuple[float, float, float]:
    """Circle on the sky (ra, dec, radius; degrees) around images of one shape, and a rim beyond them.

    The reference stars of this cone are what isolation is counted on: the rim must be at
    least as wide as the isolation.
    """
    corners = [(-0.5, -0.5), (shape[1] - 0.5, -0.5), (-0.5, shape[0] - 0.5), (shape[1] - 0.5, shape[0] - 0.5)]
    x, y = np.array(corners).T
    on_sky = np.concatenate([unit_vectors(*quadrant.all_pix2world(x, y, 0)) for quadrant in wcs])
    centre = on_sky.mean(axis=0)
    centre /= np.linalg.norm(centre)
    chord = np.linalg.norm(on_sky - centre, axis=1).max()
    radius = np.rad2deg(2 * np.arcsin(chord / 2)) + beyond_arcsec / 3600
    return (
        float(np.rad2deg(np.arctan2(centre[1], centre[0])) % 360),
        float(np.rad2deg(np.arcsin(centre[2]))),
        float(radius),
    )


def at_epoch(
    ra: NDArray, dec: NDArray, pmra: NDArray, pmdec: NDArray, years: float | NDArray
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positions after a number of Julian years of proper motion, degrees.

    A star moves along a straight line in the plane that touches the sphere where it was.
    Unknown proper motion (NaN) counts as none.  Parallax, 0.1" for a star at 10 pc, and
    the change of distance are left out.

    Parameters
    ----------
    ra, dec : (star,), degrees
    pmra, pmdec : (star,), mas / yr
        pmra times cos(dec), as Gaia gives it.
    """
    a, d = np.deg2rad(ra), np.deg2rad(dec)
    east, north = (np.deg2rad(np.nan_to_num(np.asarray(pm, dtype=np.float64)) * years / 3.6e6) for pm in (pmra, pmdec))
    # Components along the direction of the star at rest, its meridian plane, and east of it.
    outward = np.cos(d) - north * np.sin(d)
    ra_new = a + np.arctan2(east, outward)
    dec_new = np.arctan2(np.sin(d) + north * np.cos(d), np.hypot(outward, east))
    return np.rad2deg(ra_new) % 360, np.rad2deg(dec_new)


def is_isolated(ra: NDArray, dec: NDArray, within_arcsec: float) -> NDArray[np.bool_]:
    """Stars with no other of the same list within a distance.  All (star,), degrees."""
    if len(ra) < 2:
        return np.ones(len(ra), dtype=bool)
    on_sphere = unit_vectors(ra, dec)
    chord = 2 * np.sin(np.deg2rad(within_arcsec / 3600) / 2)
    nearest, _ = cKDTree(on_sphere).query(on_sphere, k=2)
    return np.asarray(nearest[:, 1] > chord)


def on_image(
    wcs: WCS, ra: NDArray, dec: NDArray, shape: tuple[int, int], *, margin: float = 0.0
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """Which stars fall on the pixels of an image, and where.  `ra`, `dec`: (star,), degrees.

    A star is on the image if its centre is on a pixel, -0.5 <= x < columns - 0.5: stars of
    neighbouring images are neither lost nor counted twice.  The inverse of a TPV solution need not
    converge far from the image, so the linear part alone chooses those worth asking.

    Parameters
    ----------
    margin
        Pixels beyond the image that count as image.

    Returns
    -------
    star, x, y : (star on the image,)
        Index into `ra` and pixels, float64.
    """
    rows, columns = shape
    x, y = _linear_pixels(wcs, ra, dec)
    rim_x, rim_y = (
        20 + columns / 20 + margin,
        20 + rows / 20 + margin,
    )  # the distortion itself is a pixel or two over a quadrant
    near = np.flatnonzero(
        (np.abs(x - (columns - 1) / 2) < columns / 2 + rim_x) & (np.abs(y - (rows - 1) / 2) < rows / 2 + rim_y)
    )
    if not near.size:
        return near, np.zeros(0), np.zeros(0)
    x, y = sky_to_pixels(wcs, ra[near], dec[near])
    inside = is_inside(x, y, shape, margin=margin)
    return near[inside], x[inside], y[inside]


def is_inside(x: NDArray, y: NDArray, shape: tuple[int, int], *, margin: float = 0.0) -> NDArray[np.bool_]:
    """Whether positions (pixels) fall on the pixels of an image, or on a margin (pixels) around it.  All (star,)."""
    rows, columns = shape
    low = -0.5 - margin
    return (x >= low) & (x < columns - 0.5 + margin) & (y >= low) & (y < rows - 0.5 + margin)


def reference_stars(
    table: pa.Table,
    wcs: WCS,
    shape: tuple[int, int],
    *,
    years: float,
    isolation_arcsec: float,
    margin: float = 0.0,
) -> Stars:
    """Stars of a reference catalogue that are on an image, or on a margin around it.

    Parameters
    ----------
    table
        Columns of `ztf_in2p3.tables.REFERENCE`, all stars of a cone wider than the image.
    years
        Julian years from the epoch of the catalogue to the exposure.
    isolation_arcsec
        Isolation is counted on all stars of the table.
    margin
        Pixels.
    """
    missing = [column.name for column in REFERENCE if column.name not in table.column_names]
    if missing:
        raise BadData(
            f"the reference catalogue lacks the columns {', '.join(missing)}; it has {', '.join(table.column_names)}"
        )
    ra_0, dec_0, pmra, pmdec = (numbers(table, name) for name in ("ra", "dec", "pmra", "pmdec"))
    ra, dec = at_epoch(ra_0, dec_0, pmra, pmdec, years)
    isolated = is_isolated(ra, dec, isolation_arcsec)
    star, x, y = on_image(wcs, ra, dec, shape, margin=margin)
    g_mag, bp_mag, rp_mag = (
        numbers(table, f"phot_{band}_mean_mag")[star].astype(np.float32) for band in ("g", "bp", "rp")
    )
    star_id = np.asarray(table["source_id"].to_numpy(), dtype=np.int64)
    return Stars(star_id[star], ra[star], dec[star], x, y, isolated[star], g_mag, bp_mag, rp_mag)


def _linear_pixels(wcs: WCS, ra: NDArray, dec: NDArray) -> tuple[NDArray, NDArray]:
    """Gnomonic projection and CD matrix alone; NaN for the far side of the sky."""
    x, y = np.linalg.inv(wcs.pixel_scale_matrix) @ tangent_plane(ra, dec, *wcs.wcs.crval)
    return x + wcs.wcs.crpix[0] - 1, y + wcs.wcs.crpix[1] - 1
