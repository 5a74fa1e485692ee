"""Stars to point at, and the catalogue that knows them.

The sky is drawn cell by cell of a HEALPix grid, each cell from its own seed: whoever asks for a
region, in whatever order, finds the same stars there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Self

import numpy as np
from astropy import units
from astropy_healpix import HEALPix
from numpy.typing import NDArray

from ztf_in2p3.directions import julian_epoch
from ztf_in2p3.identifiers import Filter
from ztf_in2p3.simulate.host import Supernova
from ztf_in2p3.simulate.seeds import generator

EPOCH = 2016.0
"""Julian year of the positions (Gaia DR3)."""
CELL_ORDER = 8
"""HEALPix order of the cells that are drawn at once: 0.052 square degrees."""
ID_ORDER = 12
"""HEALPix order written in the leading bits of a Gaia source_id (source_id // 2^35)."""
ID_SHIFT = 35

COLOUR_TERMS = {Filter.ZG: (-0.15, 0.55), Filter.ZR: (0.05, -0.10), Filter.ZI: (0.20, -0.40)}
"""m = G + constant + slope (BP - RP): roughly what stars show in ZTF's filters; exact here by definition."""


@dataclass(frozen=True, slots=True, eq=False)
class Stars:
    """Columns of a catalogue, one entry a star, at epoch `EPOCH`; units as `ztf_in2p3.tables.REFERENCE`."""

    source_id: NDArray[np.int64]
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    parallax: NDArray[np.float64]
    pmra: NDArray[np.float64]
    pmdec: NDArray[np.float64]
    phot_g_mean_mag: NDArray[np.float32]
    phot_bp_mean_mag: NDArray[np.float32]
    phot_rp_mean_mag: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.source_id)

    def take(self, index: NDArray) -> Self:
        """Some of the stars, by index or by truth value.  `index`: (n,) or (star,)."""
        return type(self)(*(getattr(self, field.name)[index] for field in fields(self)))

    @classmethod
    def concatenate(cls, parts: Iterable[Self]) -> Self:
        """Stars of several catalogues as one."""
        parts = list(parts)
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def positions(self, mjd: float) -> tuple[NDArray, NDArray]:
        """Right ascension and declination (deg) at a date; an unknown proper motion is none, parallax is left out."""
        years = julian_epoch(mjd) - EPOCH
        degrees = years / 3.6e6
        ra = self.ra + np.nan_to_num(self.pmra) * degrees / np.cos(np.deg2rad(self.dec))
        return ra % 360, self.dec + np.nan_to_num(self.pmdec) * degrees

    def magnitude(self, filter: Filter) -> NDArray[np.float64]:
        """Above the atmosphere, in a filter of the camera."""
        constant, slope = COLOUR_TERMS[filter]
        colour = self.phot_bp_mean_mag.astype(float) - self.phot_rp_mean_mag
        return self.phot_g_mean_mag + constant + slope * colour


@dataclass(frozen=True, slots=True)
class Sky:
    """A sky full of stars, drawn when it is looked at."""

    seed: int = 20190405
    density: float = 7200.0
    """Stars per square degree: 35 in a quadrant of the tiny camera, half of them with no other within 20"."""
    bright: float = 13.0
    faint: float = 19.0
    """Limits of the magnitudes, in G."""
    slope: float = 0.2
    """Slope of the decimal logarithm of the number of stars with magnitude."""
    unmeasured: float = 0.02
    """Fraction of stars without proper motion and parallax."""
    supernovae: tuple[Supernova, ...] = ()

    def __post_init__(self) -> None:
        read = (item if isinstance(item, Supernova) else Supernova(**item) for item in self.supernovae)
        object.__setattr__(self, "supernovae", tuple(read))
        if not (self.bright < self.faint and self.slope > 0 and self.density >= 0 and 0 <= self.unmeasured <= 1):
            raise ValueError(f"no sky is like {self}: bright < faint, slope > 0, density >= 0 are expected")

    def around(self, ra: float, dec: float, radius: float) -> Stars:
        """Stars within `radius` of a position, all in degrees."""
        grid = HEALPix(2**CELL_ORDER, order="nested")
        cells = grid.cone_search_lonlat(ra * units.deg, dec * units.deg, radius * units.deg)
        stars = Stars.concatenate(self._cell(int(cell)) for cell in np.sort(cells))
        return stars.take(separation(ra, dec, stars.ra, stars.dec) <= radius)

    def in_pixel(self, order: int, pixel: int) -> Stars:
        """Stars of one pixel of the nested HEALPix scheme."""
        if order <= CELL_ORDER:
            n_cell = 4 ** (CELL_ORDER - order)
            return Stars.concatenate(self._cell(cell) for cell in range(pixel * n_cell, (pixel + 1) * n_cell))
        stars = self._cell(pixel >> 2 * (order - CELL_ORDER))
        return stars.take(healpix_of(stars.source_id, order) == pixel)

    def _cell(self, cell: int) -> Stars:
        draw = generator(self.seed, "sky", cell)
        area = 4 * np.pi * np.rad2deg(1) ** 2 / (12 * 4**CELL_ORDER)
        n = draw.poisson(self.density * area)
        # Equal areas of a cell are equal areas of its unit square (Gorski et al. 2005, ApJ 622, 759).
        grid = HEALPix(2**CELL_ORDER, order="nested")
        lon, lat = grid.healpix_to_lonlat(np.full(n, cell), draw.random(n), draw.random(n))
        ra, dec = lon.to_value(units.deg) % 360, lat.to_value(units.deg)

        ratio = 10 ** (self.slope * (self.faint - self.bright))
        g = (self.bright + np.log10(1 + draw.random(n) * (ratio - 1)) / self.slope).astype(np.float32)
        colour = np.clip(draw.normal(0.9, 0.35, n) + 0.05 * (g - 16), 0.0, 2.8)
        bp = (g + 0.45 * colour).astype(np.float32)
        # Most stars crawl, one in thirty runs: enough to miss it if its motion is forgotten.
        speed = np.where(draw.random(n) < 1 / 30, 100.0, 6.0)
        pmra, pmdec = draw.normal(0, speed), draw.normal(0, speed)
        parallax = speed / 10 * draw.exponential(1.0, n)
        unmeasured = draw.random(n) < self.unmeasured
        for column in (pmra, pmdec, parallax):
            column[unmeasured] = np.nan
        leading = HEALPix(2**ID_ORDER, order="nested").lonlat_to_healpix(ra * units.deg, dec * units.deg)
        source_id = (np.asarray(leading, np.int64) << ID_SHIFT) + ((np.arange(n) + 1) << 7)
        rp = (bp - colour).astype(np.float32)
        stars = Stars(source_id, ra, dec, parallax, pmra, pmdec, g, bp, rp)
        for supernova in self.supernovae:
            planted = garden(supernova)
            inside = healpix_of(planted.source_id, CELL_ORDER) == cell
            stars = Stars.concatenate([stars.take(~supernova.shades(stars.ra, stars.dec)), planted.take(inside)])
        return stars


@lru_cache(maxsize=8)
def garden(supernova: Supernova) -> Stars:
    """Stars around a supernova, kept apart."""
    draw = generator(supernova.seed, "garden stars")
    ra, dec, g = supernova.plot()
    n = len(ra)
    leading = HEALPix(2**ID_ORDER, order="nested").lonlat_to_healpix(ra * units.deg, dec * units.deg)
    source_id = (np.asarray(leading, np.int64) << ID_SHIFT) + ((np.arange(n) + 100_001) << 7)  # behind those of a cell
    colour = np.clip(draw.normal(1.0, 0.3, n), 0.5, 1.8)
    bp, (pmra, pmdec) = g + 0.45 * colour, draw.normal(0, 6.0, (2, n))
    magnitudes = (band.astype(np.float32) for band in (g, bp, bp - colour))
    return Stars(source_id, ra, dec, draw.exponential(0.5, n), pmra, pmdec, *magnitudes)


def healpix_of(source_id: NDArray[np.int64], order: int) -> NDArray[np.int64]:
    """Nested HEALPix pixel that a source_id tells (up to order 12).  (star,) both."""
    return source_id >> (ID_SHIFT + 2 * (ID_ORDER - order))


def separation(ra: float, dec: float, ras: NDArray, decs: NDArray) -> NDArray:
    """Great-circle distance, degrees (haversine: exact for small ones).  `ras`, `decs`: (star,)."""
    lon, lat = np.deg2rad(ras - ra) / 2, np.deg2rad(decs - dec) / 2
    h = np.sin(lat) ** 2 + np.cos(np.deg2rad(dec)) * np.cos(np.deg2rad(decs)) * np.sin(lon) ** 2
    return 2 * np.rad2deg(np.arcsin(np.sqrt(h)))
