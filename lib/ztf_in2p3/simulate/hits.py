"""Charge that radiation leaves in a thick detector: points, straight tracks of muons, worms of scattered electrons.

Muons lose some 80 electrons per micrometre of silicon and leave what the layer of 40 micrometres makes of their
inclination; electrons that gamma rays of the building set free lose more, and turn (Groom 2002, Exp. Astron. 14, 45).
Charge diffuses on its way to the pixels.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

PIXEL_UM = 15.0
DEPTH_UM = 40.0
"""Thickness of the layer that collects charge."""
MUON_RATE, WORM_RATE, POINT_RATE = 1.0, 0.5, 0.5
"""Hits of each kind per square centimetre and minute."""
MUON_E_PER_UM = 80.0
WORM_E_PER_UM = (100.0, 300.0)
WORM_PIXELS = (2.0, 15.0)
POINT_E = (100.0, 20_000.0)
"""Ranges of what electrons lose, of their tracks' length, and of the charge of points (evenly in its logarithm)."""
DIFFUSION = 0.3
"""Standard deviation of the place where charge arrives, pixels."""
PACKET_E = 20.0
"""Electrons that diffuse together."""
_STEP = 0.25
"""Pixels along a track at a time."""
_TURN = 0.35
"""Radians by which a worm turns in a step."""

Path = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
"""Rows, columns and electrons of the steps of a hit."""


def radiation_charge(shape: tuple[int, int], seconds: float, draw: np.random.Generator) -> NDArray[np.float32]:
    """Electrons left by all hits of an exposure; (row, column)."""
    charge = np.zeros(shape, np.float64)
    for row, column, electrons in hits(shape, seconds, draw):
        deposit(charge, row, column, electrons, draw)
    return charge.astype(np.float32)


def hits(shape: tuple[int, int], seconds: float, draw: np.random.Generator) -> Iterator[Path]:
    """Hits of an exposure, one after the other, before their charge diffuses."""
    area_minutes = shape[0] * shape[1] * (PIXEL_UM * 1e-4) ** 2 * seconds / 60
    for rate, kind in ((MUON_RATE, muon), (WORM_RATE, worm), (POINT_RATE, point)):
        for _ in range(draw.poisson(rate * area_minutes)):
            row, column, electrons = kind(draw)
            yield row + draw.uniform(-0.5, shape[0] - 0.5), column + draw.uniform(-0.5, shape[1] - 0.5), electrons


def muon(draw: np.random.Generator) -> Path:
    """A straight track; the steeper the shorter, as cos^2 of the angle to the vertical."""
    inclination = np.arccos(np.clip(draw.random() ** (1 / 4), 0.1, 1))  # cos^2, seen by a horizontal surface
    length = DEPTH_UM * np.tan(inclination) / PIXEL_UM
    electrons = MUON_E_PER_UM * DEPTH_UM / np.cos(inclination) * draw.lognormal(0, 0.3)
    along = np.arange(0, length + _STEP, _STEP)
    angle = draw.uniform(0, 2 * np.pi)
    return along * np.sin(angle), along * np.cos(angle), np.full(len(along), electrons / len(along))


def worm(draw: np.random.Generator) -> Path:
    """A track that turns, and loses most at its end."""
    n = int(draw.uniform(*WORM_PIXELS) / _STEP)
    angle = draw.uniform(0, 2 * np.pi) + np.cumsum(draw.normal(0, _TURN, n))
    electrons = draw.uniform(*WORM_E_PER_UM) * PIXEL_UM * _STEP * np.linspace(0.6, 1.6, n)
    return np.cumsum(np.sin(angle)) * _STEP, np.cumsum(np.cos(angle)) * _STEP, electrons


def point(draw: np.random.Generator) -> Path:
    """Charge set free in one place."""
    electrons = np.exp(draw.uniform(*np.log(POINT_E)))
    return np.zeros(1), np.zeros(1), np.array([electrons])


def deposit(
    charge: NDArray[np.float64],
    row: NDArray[np.float64],
    column: NDArray[np.float64],
    electrons: NDArray[np.float64],
    draw: np.random.Generator,
) -> None:
    """Add the electrons of the steps (step,) of a hit to the charge (row, column), diffused; outside they are lost."""
    packets = np.maximum(1, np.rint(electrons / PACKET_E)).astype(int)
    share = np.repeat(electrons / packets, packets)
    i, j = (np.rint(np.repeat(place, packets) + draw.normal(0, DIFFUSION, len(share))) for place in (row, column))
    inside = (i >= 0) & (i < charge.shape[0]) & (j >= 0) & (j < charge.shape[1])
    np.add.at(charge, (i[inside].astype(int), j[inside].astype(int)), share[inside])
