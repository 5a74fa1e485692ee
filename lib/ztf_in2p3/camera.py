"""Geometry and electronics of a mosaic camera, as a value that is passed in.

The same code therefore runs on ZTF's camera and on a tiny one of the same layout, in seconds.
Pixel coordinates x (column) and y (row) count from 0 at the centre of the first pixel as
stored.  Stored images have x running west and y running south (ZTF headers: CD1_1 = CD2_2
= -2.81e-4 deg); the focal plane's u runs east and v north, in pixels from the optical axis.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ztf_in2p3.identifiers import N_CCD, N_QUADRANT, Quadrant

_LAYOUT = ((4, 3, 2, 1), (8, 7, 6, 5), (12, 11, 10, 9), (16, 15, 14, 13))
"""CCD numbers on the sky, southern row first, west to the left (Dekany et al. 2020, PASP 132, 038001)."""

_EAST = {1: 1, 2: 0, 3: 0, 4: 1}
_NORTH = {1: 1, 2: 1, 3: 0, 4: 0}
"""Half of the CCD that a quadrant fills: q2 north-west, q1 north-east, q3 south-west, q4 south-east."""

_T = TypeVar("_T", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Camera:
    """A 4 x 4 mosaic of CCDs of four quadrants each."""

    name: str
    shape: tuple[int, int]
    """Rows and columns of a quadrant."""
    overscan_columns: int
    gap: tuple[int, int]
    """Pixels between CCDs of neighbouring rows, and of neighbouring columns."""
    pixel_scale: float
    """Arcseconds per pixel."""
    gain: float
    """Electrons per ADU, nominal; what a file's header says goes first."""
    read_noise: float
    """Electrons, nominal."""
    saturation: float
    """ADU over the offset."""

    @property
    def quadrants(self) -> tuple[Quadrant, ...]:
        """All quadrants, in the order of the readout channels."""
        return tuple(Quadrant.of_rcid(rcid) for rcid in range(N_CCD * N_QUADRANT))

    def focal_plane(self, quadrant: Quadrant, x: ArrayLike, y: ArrayLike) -> tuple[NDArray, NDArray]:
        """Focal-plane position (u east, v north; pixels from the axis) of pixels of a quadrant.

        `x`, `y`, `u` and `v` have one shape.
        """
        u_east, v_north = self._origin(quadrant)
        return u_east - (np.asarray(x) + 0.5), v_north - (np.asarray(y) + 0.5)

    def pixel(self, quadrant: Quadrant, u: ArrayLike, v: ArrayLike) -> tuple[NDArray, NDArray]:
        """Inverse of `focal_plane`; positions outside the quadrant give pixels outside the image.

        `u`, `v` and the pixels have one shape.
        """
        u_east, v_north = self._origin(quadrant)
        return u_east - np.asarray(u) - 0.5, v_north - np.asarray(v) - 0.5

    def _origin(self, quadrant: Quadrant) -> tuple[float, float]:
        """Focal-plane position of the outer corner of the first stored pixel, the north-eastern one."""
        rows, columns = self.shape
        row = next(i for i, ccds in enumerate(_LAYOUT) if quadrant.ccdid in ccds)
        column = _LAYOUT[row].index(quadrant.ccdid)
        u_ccd = (column - 1.5) * (2 * columns + self.gap[1])
        v_ccd = (row - 1.5) * (2 * rows + self.gap[0])
        return u_ccd + _EAST[quadrant.qid] * columns, v_ccd + _NORTH[quadrant.qid] * rows


def flip_readout(pixels: NDArray[_T], qid: int) -> NDArray[_T]:
    """Turn the order of storage into the order of readout, or back (it is its own inverse).  `pixels`: (row, column).

    In readout order the amplifier is at [0, 0], a row is read along its columns and the
    overscan comes last.  Columns are flipped for qid 2 and 3, rows for qid 3 and 4; overscan
    images likewise.  Returns a view.
    """
    if qid in (2, 3):
        pixels = pixels[..., ::-1]
    if qid in (3, 4):
        pixels = pixels[..., ::-1, :]
    return pixels


def mosaic_ccd(quadrants: dict[int, NDArray[_T]]) -> NDArray[_T]:
    """A whole CCD from its four quadrants by qid, for the eye: rows run north, columns east.

    `quadrants`: (row, column) each, as stored.

    Drawn from the lower left corner, north is up and east to the right.
    """
    up = {qid: pixels[::-1, ::-1] for qid, pixels in quadrants.items()}
    return np.block([[up[3], up[4]], [up[2], up[1]]])


ZTF = Camera(
    name="ztf",
    shape=(3080, 3072),
    overscan_columns=30,
    gap=(671, 487),
    pixel_scale=1.012,
    gain=6.0,
    read_noise=9.0,
    saturation=58600.0,
)
"""Zwicky Transient Facility: Dekany et al. 2020, PASP 132, 038001; gain, noise and scale from science headers."""

TINY = replace(ZTF, name="tiny", shape=(256, 240), gap=(56, 38))
"""The same mosaic with 1/150 of the pixels, for tests and demonstrations."""

CAMERAS = {camera.name: camera for camera in (ZTF, TINY)}


def camera_named(name: str) -> Camera:
    """The camera of a name; ValueError if none is known by it."""
    try:
        return CAMERAS[name]
    except KeyError:
        raise ValueError(f"no camera named {name!r}; known: {', '.join(CAMERAS)}") from None
