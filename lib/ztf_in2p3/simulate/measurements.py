"""Tables of star measurements with known truth: what a catalogue would hold, without the pixels.

Every effect has its own amplitude, so that each can be switched off.  The sky is flat here and
counted in pixels: what the fits know of the sky is which star is which, and the airmass.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ztf_in2p3.camera import Camera

STARS_AT_ONCE = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Pointings:
    """Directions and times of exposures; one row an exposure."""

    centre: NDArray[np.float64]
    """(exposure, 2): sky position of the optical axis, pixels east and north."""
    mjd: NDArray[np.float64]
    zenith: NDArray[np.float64]
    """Degrees from the zenith to the axis."""
    parallactic: NDArray[np.float64]
    """Degrees, from north through east, of the direction in which the zenith distance grows."""

    def __len__(self) -> int:
        return len(self.mjd)

    @property
    def exposure(self) -> NDArray[np.int64]:
        """Names in the form of the archive's filefracday: date and fraction of the day."""
        day = np.floor(self.mjd)
        date = (np.datetime64("1858-11-17") + day.astype(int)).astype("datetime64[D]").astype(str)
        night = np.array([int(text.replace("-", "")) for text in date], dtype=np.int64)
        return night * 1_000_000 + np.round((self.mjd - day) * 1e6).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Effects:
    """Amplitudes of what is simulated, in magnitudes unless said otherwise."""

    zero_point: float = 0.03
    """Scatter of the exposures' zero points."""
    quadrant_zero_point: float = 0.0
    """Scatter of a quadrant's zero point from one exposure to the next."""
    map: float = 0.02
    """Scatter of the quadrants' response, and half the fall of a smooth vignetting; cells scatter by a quarter."""
    colour_map: float = 0.01
    """Scatter of the colour term of its cells, mag per mag."""
    airmass: float = 0.1
    """Extinction, mag per airmass."""
    gain: float = 0.0
    """Scatter of the quadrants' gains from one night to the next."""
    error_floor: float = 0.005
    outliers: float = 0.01
    """Fraction of the measurements that are off by 0.1 to 0.5 mag, either way."""
    variables: float = 0.01
    """Fraction of the stars that vary, with amplitudes of 0.05 to 0.3 mag."""
    map_cells: int = 15
    colour_cells: int = 2


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What the measurements were made from."""

    star_mag: NDArray[np.float64]
    colour: NDArray[np.float64]
    variable: NDArray[np.bool_]
    zero_point: NDArray[np.float64]
    """(exposure,)"""
    quadrant_zero_point: NDArray[np.float64]
    """(exposure, rcid), on top of the exposure's."""
    gain: NDArray[np.float64]
    """(night, rcid)"""
    map: NDArray[np.float64]
    """(rcid, row of cells, column of cells)"""
    colour_map: NDArray[np.float64]
    """(rcid, row of cells, column of cells)"""
    colour_centre: float
    """Colour at which the colour map changes nothing."""
    airmass_coefficient: float
    outlier: NDArray[np.bool_]
    """(row of the table,)"""


def dithered_sequence(
    n_exposure: int, camera: Camera, *, spread: float = 0.25, seed: int = 0, mjd: float = 58578.2
) -> Pointings:
    """Exposures of one night around one position, from small steps to `spread` of the camera's width."""
    rng = np.random.default_rng(seed)
    width = 8 * camera.shape[1] + 3 * camera.gap[1]
    distance = width * spread * rng.uniform(0.02, 1, n_exposure)
    angle = rng.uniform(0, 2 * np.pi, n_exposure)
    part = np.linspace(0, 1, n_exposure)
    return Pointings(
        centre=np.column_stack([distance * np.cos(angle), distance * np.sin(angle)]),
        mjd=mjd + 0.1 * part,
        zenith=20 + 30 * part,
        parallactic=-60 + 100 * part,
    )


def survey(
    n_field: int, n_visit: int, camera: Camera, *, overlap: float = 0.3, seed: int = 0, mjd: float = 58578.2
) -> Pointings:
    """A square of overlapping fields, each visited on many nights, shifted every time by up to half the overlap."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(np.sqrt(n_field)))
    size = np.array([8 * camera.shape[1] + 3 * camera.gap[1], 8 * camera.shape[0] + 3 * camera.gap[0]])
    grid = np.stack([np.arange(n_field) % side, np.arange(n_field) // side], axis=1) * size * (1 - overlap)
    shift = rng.uniform(-0.5, 0.5, (n_visit, n_field, 2)) * size * overlap
    night = np.sort(rng.choice(max(30, n_visit), n_visit, replace=False))
    time = night[:, None] + 0.25 * (rng.permuted(np.tile(np.arange(n_field), (n_visit, 1)), axis=1) + 0.5) / n_field
    n = n_field * n_visit
    return Pointings(
        centre=(grid + shift).reshape(n, 2),
        mjd=mjd + time.ravel(),
        zenith=rng.uniform(10, 55, n),
        parallactic=rng.uniform(-180, 180, n),
    )


def star_measurements(
    camera: Camera, pointings: Pointings, n_star: int, effects: Effects = Effects(), *, seed: int = 0
) -> tuple[pa.Table, Truth]:
    """Measurements of stars spread evenly over the sky that the pointings cover, sorted by star.

    Returns
    -------
    table
        star_id, exposure, mjd, ccd, qid, rcid, x, y (pixels), airmass, colour, mag, mag_e: one row a measurement.
        Magnitudes carry photon noise growing from 1 to 16 mmag, which is `mag_e`, and the error floor, which is not.
    truth
        Its outliers are rows of the table.
    """
    rng = np.random.default_rng(seed)
    sky = _uniform_sky(camera, pointings, n_star, rng)
    truth = _draw_truth(camera, pointings, n_star, effects, rng)
    nights = np.unique(np.floor(pointings.mjd), return_inverse=True)[1]
    chunks = []
    for first in range(0, n_star, STARS_AT_ONCE):
        stars = np.arange(first, min(first + STARS_AT_ONCE, n_star))
        chunks.append(_measure(camera, pointings, nights, stars, sky, truth, effects, rng))
    names = list(chunks[0])
    columns = {name: np.concatenate([chunk.pop(name) for chunk in chunks]) for name in names}
    outlier = columns.pop("outlier")
    return pa.table(columns), _with_outliers(truth, outlier)


def _uniform_sky(camera: Camera, pointings: Pointings, n_star: int, rng: np.random.Generator) -> NDArray:
    half = np.array([4 * camera.shape[1] + 1.5 * camera.gap[1], 4 * camera.shape[0] + 1.5 * camera.gap[0]])
    return rng.uniform(pointings.centre.min(0) - half, pointings.centre.max(0) + half, (n_star, 2))


def _draw_truth(camera: Camera, pointings: Pointings, n_star: int, effects: Effects, rng: np.random.Generator) -> Truth:
    n_quadrant, n_cell, n_exposure = len(camera.quadrants), effects.map_cells, len(pointings)
    rows, columns = camera.shape
    centre = (np.arange(n_cell) + 0.5) / n_cell
    u, v = np.array(
        [
            np.broadcast_arrays(*camera.focal_plane(q, centre * columns - 0.5, (centre * rows - 0.5)[:, None]))
            for q in camera.quadrants
        ]
    ).swapaxes(0, 1)
    radius2 = (u**2 + v**2) / (4 * columns) ** 2
    response = effects.map * (
        radius2 + rng.normal(0, 1, (n_quadrant, 1, 1)) + 0.25 * rng.normal(0, 1, (n_quadrant, n_cell, n_cell))
    )
    n_night = len(np.unique(np.floor(pointings.mjd)))
    colour = rng.gamma(4, 0.25, n_star)
    return Truth(
        star_mag=14 + 4 * rng.power(2, n_star),
        colour=colour,
        variable=rng.random(n_star) < effects.variables,
        zero_point=effects.zero_point * rng.normal(0, 1, n_exposure),
        quadrant_zero_point=effects.quadrant_zero_point * rng.normal(0, 1, (n_exposure, n_quadrant)),
        gain=effects.gain * rng.normal(0, 1, (n_night, n_quadrant)),
        map=response,
        colour_map=effects.colour_map * rng.normal(0, 1, (n_quadrant, effects.colour_cells, effects.colour_cells)),
        colour_centre=float(colour.mean()),
        airmass_coefficient=effects.airmass,
        outlier=np.zeros(0, bool),
    )


def _with_outliers(truth: Truth, outlier: NDArray[np.bool_]) -> Truth:
    values = {name: getattr(truth, name) for name in Truth.__slots__}
    return Truth(**(values | {"outlier": outlier}))


def _measure(
    camera: Camera,
    pointings: Pointings,
    nights: NDArray,
    stars: NDArray,
    sky: NDArray,
    truth: Truth,
    effects: Effects,
    rng: np.random.Generator,
) -> dict[str, NDArray]:
    u = sky[stars, None, 0] - pointings.centre[None, :, 0]
    v = sky[stars, None, 1] - pointings.centre[None, :, 1]
    rcid, x, y = _quadrant_of(camera, u, v)
    star, exposure = np.nonzero(rcid >= 0)
    rcid, x, y, u, v = (plane[star, exposure] for plane in (rcid, x, y, u, v))
    star = stars[star]

    airmass = _airmass(camera, pointings, exposure, u, v)
    colour, n = truth.colour[star], len(star)
    photon = 0.001 * 10 ** (0.3 * (truth.star_mag[star] - 14))
    mag = truth.star_mag[star] + truth.zero_point[exposure] + truth.quadrant_zero_point[exposure, rcid]
    mag += truth.gain[nights[exposure], rcid]
    mag += truth.map[rcid, *_cell(camera, x, y, effects.map_cells)]
    mag += truth.colour_map[rcid, *_cell(camera, x, y, effects.colour_cells)] * (colour - truth.colour_centre)
    mag += truth.airmass_coefficient * (airmass - 1)
    mag += np.hypot(photon, effects.error_floor) * rng.normal(0, 1, n)
    amplitude = np.where(truth.variable, rng.uniform(0.05, 0.3, len(truth.variable)), 0)[star]
    mag += amplitude * np.sin(2 * np.pi * rng.random(n))
    outlier = rng.random(n) < effects.outliers
    mag += outlier * rng.uniform(0.1, 0.5, n) * rng.choice([-1, 1], n)
    return {
        "star_id": 4_000_000_000 + 7 * star.astype(np.int64),
        "exposure": pointings.exposure[exposure],
        "mjd": pointings.mjd[exposure],
        "ccd": (rcid // 4 + 1).astype(np.int8),
        "qid": (rcid % 4 + 1).astype(np.int8),
        "rcid": rcid.astype(np.int8),
        "x": x.astype(np.float32),
        "y": y.astype(np.float32),
        "airmass": airmass.astype(np.float32),
        "colour": colour.astype(np.float32),
        "mag": mag,
        "mag_e": photon.astype(np.float32),
        "outlier": outlier,
    }


def _airmass(camera: Camera, pointings: Pointings, exposure: NDArray, u: NDArray, v: NDArray) -> NDArray:
    """Plane-parallel atmosphere: the secant of the zenith distance."""
    towards = np.deg2rad(pointings.parallactic)[exposure]
    degrees = (u * np.sin(towards) + v * np.cos(towards)) * camera.pixel_scale / 3600
    return 1 / np.cos(np.deg2rad(pointings.zenith[exposure] + degrees))


def _cell(camera: Camera, x: NDArray, y: NDArray, n: int) -> tuple[NDArray, NDArray]:
    rows, columns = camera.shape
    # Through float32, as the table stores them: a cell belongs to the position that is written down.
    column = np.floor((x.astype(np.float32).astype(float) + 0.5) * n / columns).astype(int)
    row = np.floor((y.astype(np.float32).astype(float) + 0.5) * n / rows).astype(int)
    return np.clip(row, 0, n - 1), np.clip(column, 0, n - 1)


def _quadrant_of(camera: Camera, u: NDArray, v: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Quadrant (rcid; -1 for the gaps and outside) and pixel of focal-plane positions."""
    rows, columns = camera.shape
    east = np.array([camera.focal_plane(q, -0.5, -0.5) for q in camera.quadrants])  # outer corner of the first pixel
    u_edges, v_edges = np.unique(east[:, 0]), np.unique(east[:, 1])
    table = np.empty((len(v_edges), len(u_edges)), dtype=np.int64)
    table[np.searchsorted(v_edges, east[:, 1]), np.searchsorted(u_edges, east[:, 0])] = np.arange(len(east))
    i, j = np.searchsorted(v_edges, v), np.searchsorted(u_edges, u)
    rcid = table[np.minimum(i, len(v_edges) - 1), np.minimum(j, len(u_edges) - 1)]
    x, y = east[rcid, 0] - u - 0.5, east[rcid, 1] - v - 0.5
    inside = (i < len(v_edges)) & (j < len(u_edges)) & (x < columns - 0.5) & (y < rows - 0.5)
    return np.where(inside, rcid, -1), x, y
