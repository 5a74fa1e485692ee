"""A supernova in its galaxy, and a garden of stars around it.

The galaxy is made of points, as galaxies are: its image through any PSF is then a sum of stars, and its truth needs
no pixels.  In a quadrant of the tiny camera half of the sky's stars stand too close to one another to show a PSF;
in the garden they are as many as a quadrant of the real one has of the bright ones, and are kept apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.simulate.seeds import generator
from ztf_in2p3.simulate.transient import light_curve

ARCSEC = 1 / 3600
N_POINT = 240
"""Number of points of light that make the galaxy."""
BULGE, KNOTS = 0.3, 12
"""Share of the light of the bulge; number of bright knots in the disc."""


@dataclass(frozen=True, slots=True)
class Supernova:
    """Place, time and brightness of a supernova; the same magnitude in all filters, above the atmosphere."""

    ra: float
    dec: float
    """Degrees."""
    explosion: float
    """MJD; with it the light begins, 100 days later less than 4 % of the peak is left."""
    peak: float = 19.0
    """Magnitude at maximum."""
    host: float = 17.5
    """Magnitude of the whole galaxy."""
    size: float = 1.8
    """Scale length of the galaxy's disc, arcsec."""
    offset: tuple[float, float] = (1.4, -0.9)
    """Offset of the galaxy's centre from the supernova, arcsec east and north."""
    garden: float = 190.0
    """Half side of the square without any other stars, arcsec."""
    spacing: float = 27.0
    """Distance between the stars of the garden, arcsec."""
    bright: float = 14.5
    faint: float = 18.5
    """Limits of their magnitudes, in G."""
    seed: int = 20190405

    def __post_init__(self) -> None:
        object.__setattr__(self, "offset", tuple(self.offset))  # as a file gives it

    def magnitude(self, mjd: float) -> float:
        """Magnitude of the supernova; infinite before it explodes."""
        light = float(light_curve(np.array([mjd - self.explosion]))[0])
        return self.peak - 2.5 * float(np.log10(light)) if light > 0 else float("inf")

    def points(self) -> tuple[NDArray, NDArray, NDArray]:
        """The galaxy: right ascension, declination (deg) and magnitude of its points."""
        draw = generator(self.seed, "host galaxy")
        n_bulge = round(BULGE * N_POINT)
        radius = self.size * np.where(
            np.arange(N_POINT) < n_bulge, 0.25 * draw.exponential(1.0, N_POINT), draw.gamma(2.0, 1.0, N_POINT)
        )
        angle = draw.uniform(0, 2 * np.pi, N_POINT)
        light = np.where(np.arange(N_POINT) < n_bulge, BULGE / n_bulge, (1 - BULGE) / (N_POINT - n_bulge))
        light[n_bulge : n_bulge + KNOTS] *= 4
        light /= light.sum()
        east = self.offset[0] + radius * np.cos(angle)
        north = self.offset[1] + 0.6 * radius * np.sin(angle)  # inclined
        return *self._on_sky(east, north), self.host - 2.5 * np.log10(light)

    def plot(self) -> tuple[NDArray, NDArray, NDArray]:
        """The garden: right ascension, declination (deg) and magnitude in G of its stars."""
        draw = generator(self.seed, "garden")
        half = int(self.garden // self.spacing)
        row, column = (at.ravel() for at in np.mgrid[-half : half + 1, -half : half + 1])
        slack = self.spacing / 8
        east = self.spacing * column + draw.uniform(-slack, slack, row.size)
        north = self.spacing * row + draw.uniform(-slack, slack, row.size)
        g = draw.uniform(self.bright, self.faint, row.size)
        kept = (row != 0) | (column != 0)  # the supernova's own bed
        return *self._on_sky(east[kept], north[kept]), g[kept]

    def shades(self, ra: NDArray, dec: NDArray) -> NDArray[np.bool_]:
        """Which places are in the garden.  All (star,)."""
        east = ((ra - self.ra + 180) % 360 - 180) * np.cos(np.deg2rad(self.dec))
        return (np.abs(east) < self.garden * ARCSEC) & (np.abs(dec - self.dec) < self.garden * ARCSEC)

    def _on_sky(self, east: NDArray, north: NDArray) -> tuple[NDArray, NDArray]:
        dec = self.dec + north * ARCSEC
        return (self.ra + east * ARCSEC / np.cos(np.deg2rad(dec))) % 360, dec
