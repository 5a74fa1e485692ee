"""Images of stars: a round Moffat profile, integrated over the pixels.

I(r) = (beta - 1) / (pi alpha^2) (1 + r^2 / alpha^2)^-beta  (Moffat 1969, A&A 3, 455) with beta = 3.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

BETA = 3
"""Wings of a typical seeing profile; an integer, so that powers are products."""
CORE = 6
"""Pixels around the star that are integrated with Gauss-Legendre nodes; further out the profile is so smooth that
its value at the centre of a pixel and its Laplacian (1/24 of it) give the mean to 5e-4 of itself, 2e-6 of the star."""
_CHUNK = 256
"""Stars drawn in one go, to bound the memory."""


def alpha(fwhm: float) -> float:
    """Scale of the profile, pixels."""
    return fwhm / (2 * np.sqrt(2 ** (1 / BETA) - 1))


def stamp_radius(fwhm: float) -> int:
    """Half width of the square in which a star is drawn, pixels: it holds all but 5e-5 of its flux."""
    return int(np.ceil(max(25.0, 12 * fwhm)))


def enclosed(radius: ArrayLike, fwhm: float) -> NDArray:
    """Fraction of a star's flux within `radius` pixels, before pixels blur it.  Any shape."""
    return 1 - (1 + (np.asarray(radius, float) / alpha(fwhm)) ** 2) ** (1 - BETA)


def pixel_fluxes(dx: NDArray, dy: NDArray, fwhm: float, radius: int) -> NDArray:
    """Fraction of the flux in each pixel of stamps, for stars at (dx, dy) from the centre of the middle pixel.

    Returns
    -------
    (star, 2 radius + 1, 2 radius + 1)
    """
    scale = alpha(fwhm)
    peak = (BETA - 1) / (np.pi * scale**2)
    offset = np.arange(-radius, radius + 1.0)
    s = 1 + _squares(offset - dx[:, None], offset - dy[:, None]) / scale**2
    stamps = peak / s**BETA * (1 + (4 * BETA / 24) * (BETA - (BETA + 1) / s) / (s * scale**2))

    core = min(CORE, radius)
    inner = slice(radius - core, radius + core + 1)
    nodes, weights = np.polynomial.legendre.leggauss(5)
    middle = np.zeros((len(dx), 2 * core + 1, 2 * core + 1))
    for node_y, weight_y in zip(nodes / 2, weights / 2, strict=True):
        for node_x, weight_x in zip(nodes / 2, weights / 2, strict=True):
            r2 = _squares(offset[inner] + node_x - dx[:, None], offset[inner] + node_y - dy[:, None])
            middle += weight_x * weight_y * peak / (1 + r2 / scale**2) ** BETA
    stamps[:, inner, inner] = middle
    return stamps


def _squares(x: NDArray, y: NDArray) -> NDArray:
    return x[:, None, :] ** 2 + y[:, :, None] ** 2


def draw_stars(shape: tuple[int, int], x: NDArray, y: NDArray, flux: NDArray, fwhm: float) -> NDArray[np.float32]:
    """Image of stars, without sky or noise.

    Parameters
    ----------
    shape
        Rows and columns.
    x, y : (star,), pixels
        Column and row; 0 is the centre of the first.  Stars beyond the edge lend it their wings.
    flux : (star,)
        Total, in any unit; the image has the same, per pixel.
    fwhm
        Pixels.

    Returns
    -------
    (row, column)
    """
    rows, columns = shape
    radius = stamp_radius(fwhm)
    column, row = np.rint(x).astype(int), np.rint(y).astype(int)
    inside = (np.abs(column - (columns - 1) / 2) < columns / 2 + radius) & (
        np.abs(row - (rows - 1) / 2) < rows / 2 + radius
    )
    padded = np.zeros((rows + 2 * (2 * radius + 1), columns + 2 * (2 * radius + 1)), np.float32)
    stars = np.flatnonzero(inside)
    for start in range(0, len(stars), _CHUNK):
        chunk = stars[start : start + _CHUNK]
        stamps = pixel_fluxes(x[chunk] - column[chunk], y[chunk] - row[chunk], fwhm, radius)
        for star, stamp in zip(chunk, stamps, strict=True):
            top, left = row[star] + radius + 1, column[star] + radius + 1
            padded[top : top + 2 * radius + 1, left : left + 2 * radius + 1] += flux[star] * stamp
    return np.ascontiguousarray(padded[2 * radius + 1 : -2 * radius - 1, 2 * radius + 1 : -2 * radius - 1])


def aperture_fractions(x: NDArray, y: NDArray, radii: ArrayLike, fwhm: float) -> NDArray:
    """Fraction of each star's flux that an exact circular aperture around it sums from the pixels.

    An aperture takes of a pixel on its edge the share of its area, as if the pixel were evenly lit:
    3 pixels around a star of 1.6 pixels FWHM that is 8 mmag less than `enclosed` says.

    Parameters
    ----------
    x, y : (star,), pixels
    radii : (aperture,), pixels

    Returns
    -------
    (star, aperture)
    """
    radii = np.atleast_1d(np.asarray(radii, float))
    half = int(np.ceil(radii.max())) + 1
    fractions = np.empty((len(x), len(radii)))
    edges = np.arange(-half, half + 2) - 0.5
    for start in range(0, len(x), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        dx, dy = x[chunk] - np.rint(x[chunk]), y[chunk] - np.rint(y[chunk])
        stamps = pixel_fluxes(dx, dy, fwhm, half)
        for k, r in enumerate(radii):
            corner = _disc_below(edges - dx[:, None], edges - dy[:, None], r)
            share = np.diff(np.diff(corner, axis=1), axis=2)
            fractions[chunk, k] = (stamps * share).sum(axis=(1, 2))
    return fractions


def _disc_below(x: NDArray, y: NDArray, r: float) -> NDArray:
    """Area of the disc of radius r around the origin where X < x and Y < y; (star, y, x) for grids of corners."""
    x = np.clip(x, -r, r)[:, None, :]
    y = np.clip(y, -r, r)[:, :, None]
    w = np.sqrt(r**2 - y**2)
    middle = np.clip(x, -w, w)

    def half_disc(t: NDArray) -> NDArray:
        """Area under the upper half of the circle, from -r to t."""
        return (
            t * np.sqrt(np.maximum(r**2 - t**2, 0)) + r**2 * np.arcsin(np.clip(t / r, -1, 1))
        ) / 2 + np.pi * r**2 / 4

    between = y * (middle + w) + half_disc(middle) - half_disc(-w)
    outside = 2 * half_disc(np.minimum(x, -w)) + 2 * (half_disc(np.maximum(x, w)) - half_disc(w))
    return between + np.where(y > 0, outside, 0)
