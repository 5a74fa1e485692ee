"""Which pixels of a HEALPix grid a cone on the sky touches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from astropy import units
from astropy_healpix import HEALPix
from numpy.typing import NDArray

Cone = tuple[float, float, float]
"""A cone on the sky: right ascension, declination, radius, in degrees."""

_EDGE_STEPS = 16
"""Points along each edge of a pixel at which its distance from a cone is measured."""
_MOST_BOUNDARIES = 4096
"""Pixels whose boundaries are remembered, 1.5 kB each."""


def pixels_touching(pixels: Mapping[int, NDArray[np.int64]], cone: Cone) -> list[tuple[int, int]]:
    """(order, pixel) of those nested pixels, given by order, that touch a cone, sorted: `PixelsOnSky.touching`."""
    return PixelsOnSky(pixels).touching(cone)


class PixelsOnSky:
    """Nested pixels by order, asked again and again which of them touch a cone: their places are worked out once."""

    def __init__(self, pixels: Mapping[int, NDArray[np.int64]]) -> None:
        self._grids = {order: HEALPix(nside=2**order, order="nested") for order in sorted(pixels)}
        self._pixels = pixels
        self._centres = {order: _centres(grid, pixels[order]) for order, grid in self._grids.items()}
        self._reach = {order: _largest_radius(grid) for order, grid in self._grids.items()}
        self._boundary = lru_cache(_MOST_BOUNDARIES)(lambda order, pixel: _boundary(self._grids[order], pixel))

    def touching(self, cone: Cone) -> list[tuple[int, int]]:
        """(order, pixel) of those that touch a cone, sorted.

        A pixel touches if it holds the centre, or if its boundary comes as close as the radius.
        The distance is measured at points along the boundary and half their spacing is added, so
        no pixel is missed; one beyond the cone by less than that (1/32 of an edge) may be
        listed too.

        Parameters
        ----------
        cone
            Right ascension (of any turn), declination, radius, degrees.
        """
        ra, dec, radius_deg = cone
        if not (-90 <= dec <= 90 and radius_deg >= 0 and np.isfinite(ra)):
            raise ValueError(f"no cone of radius {radius_deg} deg around RA {ra}, Dec {dec}")
        centre = _direction(np.radians(ra), np.radians(dec))
        touched = []
        for order, grid in self._grids.items():
            distances = _distance(self._centres[order], centre)
            near = self._pixels[order][distances <= radius_deg + self._reach[order]].tolist()
            beside = {pixel for pixel in near if self._boundary_distance(order, pixel, centre) > radius_deg}
            holds_centre = int(grid.lonlat_to_healpix(ra * units.deg, dec * units.deg)) if beside else -1
            touched += [(order, pixel) for pixel in near if pixel not in beside or pixel == holds_centre]
        return touched

    def _boundary_distance(self, order: int, pixel: int, centre: NDArray) -> float:
        """Degrees; a lower bound of the distance between a cone's centre and the boundary of a pixel."""
        points, tolerance = self._boundary(order, pixel)
        return float(_distance(points, centre).min()) - tolerance


def enclosing_cone(cones: Sequence[Cone]) -> Cone:
    """A cone that holds several cones that lie near each other; not always the smallest one."""
    ra, dec, radius = np.transpose(cones)
    directions = _direction(np.radians(ra), np.radians(dec))
    centre = directions.mean(axis=0)
    centre /= np.linalg.norm(centre)
    outermost = float((_distance(directions, centre) + radius).max())
    return float(np.degrees(np.arctan2(centre[1], centre[0])) % 360), float(np.degrees(np.arcsin(centre[2]))), outermost


def _centres(grid: HEALPix, pixels: NDArray[np.int64]) -> NDArray:
    """Unit vectors, (pixel, 3)."""
    lon, lat = grid.healpix_to_lonlat(pixels)
    return _direction(lon.rad, lat.rad)


def _direction(lon: NDArray | float, lat: NDArray | float) -> NDArray:
    """Unit vectors, (..., 3), of directions in radians."""
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat) + 0 * np.asarray(lon)], axis=-1)


def _distance(directions: NDArray, centre: NDArray) -> NDArray:
    """Degrees.  By the chord: an arc cosine would lose small angles."""
    return np.degrees(2 * np.arcsin(np.clip(np.linalg.norm(directions - centre, axis=-1) / 2, 0, 1)))


def _largest_radius(grid: HEALPix) -> float:
    """Degrees; no pixel of the grid reaches further from its centre.

    The furthest corner lies at 0.82 times the square root of a pixel's area at order 0, and at
    1.04 times at order 6, where the factor has converged (measured over all pixels).
    """
    return 1.1 * float(grid.pixel_resolution.to_value(units.deg))


def _boundary(grid: HEALPix, pixel: int) -> tuple[NDArray, float]:
    """Points along the boundary of a pixel, unit vectors (point, 3); how much nearer than they it may come, degrees."""
    lon, lat = grid.boundaries_lonlat([pixel], _EDGE_STEPS)
    points = _direction(lon.rad[0], lat.rad[0])
    spacing = float(_distance(points, np.roll(points, 1, axis=0)).max())
    # Between two neighbours no point of the edge is further from the nearer one than half of them are apart
    # (the edges are a little curved: one part in fifty is granted, and far more than is ever needed).
    return points, 0.51 * spacing
