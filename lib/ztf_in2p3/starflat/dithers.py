"""How far the stars of a sequence move over the camera: without that no star compares two places of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.camera import Camera
from ztf_in2p3.errors import BadData
from ztf_in2p3.fit.model import Floats
from ztf_in2p3.fit.overview import require_rows
from ztf_in2p3.fit.sources import Source

NO_SEQUENCE = "no dithered sequence"
"""How the reason begins when exposures are not dithered."""

MOST = 0.95
"""Quantile of the stars' displacements that counts: the few at the edges of the camera do not."""


def dither_extent(source: Source, camera: Camera) -> float:
    """How far stars move over the focal plane, in widths of a quadrant; 0 where none is measured twice.

    The largest distance of a star's measurements from the first of them, of the star that moves further than 95 in 100.
    """
    names = [name for name in ("star_id", "rcid", "x", "y") if name in source.column_names]
    extents = [np.zeros(0)]
    for columns, _ in source.stars(names):
        good = (columns["star_id"] >= 0) & (columns["rcid"] >= 0) & (columns["rcid"] < len(camera.quadrants))
        columns = {name: array[good] for name, array in columns.items()}
        if good.any():
            extents.append(_displacements(camera, columns))
    moved = np.concatenate(extents)
    return float(np.quantile(moved, MOST)) / camera.shape[1] if len(moved) else 0.0


def require_dithers(source: Source, camera: Camera, least: float) -> None:
    """Raise `BadData` where stars move less than a fraction of a quadrant: their exposures make no map."""
    require_rows(source)
    extent = dither_extent(source, camera)
    if extent < least:
        raise BadData(
            f"{NO_SEQUENCE}: stars move by {extent * camera.shape[1]:.0f} pixels over the camera, {extent:.3f} of a "
            f"quadrant, less than the {least} from which they compare its places; take dithered exposures, or lower "
            "StarflatRecipe.least_dither"
        )


def _displacements(camera: Camera, columns: dict[str, NDArray]) -> Floats:
    """(star with two measurements or more,): largest distance from its first measurement, pixels."""
    order = np.argsort(columns["star_id"], kind="stable")
    star, rcid = columns["star_id"][order], columns["rcid"][order]
    rows, width = camera.shape
    x = columns["x"][order] if "x" in columns else np.full(len(star), width / 2)
    y = columns["y"][order] if "y" in columns else np.full(len(star), rows / 2)
    u, v = np.full(len(star), np.nan), np.full(len(star), np.nan)
    for quadrant in camera.quadrants:
        on = rcid == quadrant.rcid
        u[on], v[on] = camera.focal_plane(quadrant, x[on], y[on])
    first = np.flatnonzero(np.concatenate([[True], star[1:] != star[:-1]]))
    n = np.diff(np.append(first, len(star)))
    distance = np.hypot(u - np.repeat(u[first], n), v - np.repeat(v[first], n))
    largest = np.fmax.reduceat(distance, first)
    return np.asarray(largest[(n > 1) & np.isfinite(largest)])
