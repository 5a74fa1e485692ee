"""What spoils tables of star measurements: each fault is a switch on a simulated table, with its truth.

The truth of a fault is what zero points become by it, and whether the product can still be right or has to say that
something is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

RIGHT, FLAGGED, REFUSED = "right", "flagged", "refused"
N_QUADRANT = 64
_FIRST_STAR, _STAR_STEP = 4_000_000_000, 7


@dataclass(slots=True, eq=False)
class Rows:
    """Columns of a table that faults change, in place, and what they do to the truth."""

    columns: dict[str, NDArray]
    names: NDArray[np.int64]
    """Exposures, rising."""
    moved: NDArray[np.float64]
    """(exposure, rcid): magnitudes by which true zero points changed."""

    @property
    def exposure(self) -> NDArray[np.int64]:
        """Number of the exposure of each row."""
        return np.searchsorted(self.names, self.columns["exposure"])

    def move(self, by: NDArray[np.float64]) -> None:
        """Make zero points fainter by (exposure, rcid) magnitudes."""
        self.moved += by
        self.columns["mag"] += by[self.exposure, self.columns["rcid"]]

    def keep(self, rows: NDArray) -> None:
        """Keep these rows only: a mask (row,), or indices."""
        self.columns = {name: values[rows] for name, values in self.columns.items()}


Change = Callable[[Rows, np.random.Generator], None]


@dataclass(frozen=True, slots=True)
class TableFault:
    """One thing that goes wrong with measurements."""

    change: Change
    truth: str
    """Whether the product can be right, must flag what is wrong, or refuses."""


def spoilt_table(table: pa.Table, fault: TableFault, seed: int = 1) -> tuple[pa.Table, NDArray[np.float64]]:
    """A copy of a table of `ztf_in2p3.simulate.measurements` with a fault, and what it did to the zero points."""
    columns = {name: table[name].to_numpy().copy() for name in table.column_names}
    names = np.unique(columns["exposure"])
    rows = Rows(columns, names, np.zeros((len(names), N_QUADRANT)))
    fault.change(rows, np.random.default_rng([seed, 20190405]))
    return pa.table(rows.columns).sort_by("star_id"), rows.moved


def _part(share: float, rows: Rows, draw: np.random.Generator) -> NDArray[np.bool_]:
    return draw.random(len(rows.columns["mag"])) < share


def _some_exposures(share: float, rows: Rows, draw: np.random.Generator) -> NDArray[np.int64]:
    return draw.choice(len(rows.names), max(1, round(share * len(rows.names))), replace=False)


def _outliers(rows: Rows, draw: np.random.Generator) -> None:
    off = _part(0.05, rows, draw)
    rows.columns["mag"][off] += draw.uniform(0.1, 0.5, off.sum()) * draw.choice([-1, 1], off.sum())


def _half_errors(rows: Rows, draw: np.random.Generator) -> None:
    """Noise is twice what the errors say."""
    sigma = np.hypot(rows.columns["mag_e"], 0.005)
    rows.columns["mag"] += sigma * np.sqrt(3) * draw.normal(0, 1, len(sigma))


def _noisy_exposures(rows: Rows, draw: np.random.Generator) -> None:
    noisy = np.isin(rows.exposure, _some_exposures(0.3, rows, draw))
    sigma = np.hypot(rows.columns["mag_e"], 0.005)
    rows.columns["mag"] += noisy * sigma * np.sqrt(3) * draw.normal(0, 1, len(sigma))


def _uneven_clouds(rows: Rows, draw: np.random.Generator) -> None:
    cloud = np.zeros_like(rows.moved)
    for number in _some_exposures(0.2, rows, draw):
        wave = np.sin(draw.uniform(0, 6) + np.arange(N_QUADRANT) / draw.uniform(3, 9))
        cloud[number] = draw.uniform(0.1, 0.3) + 0.1 * wave
    rows.move(cloud)


def _grey_clouds(rows: Rows, draw: np.random.Generator) -> None:
    cloud = np.zeros_like(rows.moved)
    clouded = _some_exposures(0.2, rows, draw)
    cloud[clouded] = draw.uniform(0.1, 0.4, (len(clouded), 1))
    rows.move(cloud)


def _step(rows: Rows, draw: np.random.Generator) -> None:
    """A quadrant changes by 30 mmag half way through."""
    step = np.zeros_like(rows.moved)
    step[len(rows.names) // 2 :, 21] = 0.03
    rows.move(step)


def _colour_term(rows: Rows, draw: np.random.Generator) -> None:
    """A CCD with another filter: 30 mmag per magnitude of colour."""
    of_ccd = rows.columns["ccd"] == 7
    rows.columns["mag"] += np.where(of_ccd, 0.03 * (rows.columns["colour"] - 1.0), 0.0)


def _no_magnitudes(rows: Rows, draw: np.random.Generator) -> None:
    """Numbers that stand for nothing: NaN, 99, -99, infinity."""
    off = _part(0.02, rows, draw)
    rows.columns["mag"][off] = draw.choice([np.nan, 99.0, -99.0, np.inf], off.sum())


def _no_errors(rows: Rows, draw: np.random.Generator) -> None:
    off = _part(0.02, rows, draw)
    rows.columns["mag_e"][off] = draw.choice(np.array([np.nan, -1.0, np.inf], np.float32), off.sum())


def _rows_twice(rows: Rows, draw: np.random.Generator) -> None:
    """A catalogue was joined to itself: all rows of a third of the exposures are there twice."""
    twice = np.isin(rows.exposure, _some_exposures(0.3, rows, draw))
    rows.keep(np.concatenate([np.arange(len(twice)), np.flatnonzero(twice)]))


def _mistaken_stars(rows: Rows, draw: np.random.Generator) -> None:
    """A measurement in fifty is said to be of another star of its quadrant or the next."""
    off = np.flatnonzero(_part(0.02, rows, draw))
    off = off[np.lexsort((rows.columns["rcid"][off], rows.columns["exposure"][off]))]
    rows.columns["star_id"][off] = rows.columns["star_id"][np.roll(off, 1)]


def _wrong_field(rows: Rows, draw: np.random.Generator) -> None:
    """The astrometry of an exposure was wrong: none of its rows is of the star it names."""
    off = np.flatnonzero(rows.exposure == _some_exposures(0.0, rows, draw)[0])
    rows.columns["star_id"][off] = rows.columns["star_id"][draw.permutation(off)]


def _one_star(rows: Rows, draw: np.random.Generator) -> None:
    """Quadrants of an exposure in which one star was measured, and that one wrongly."""
    number = _some_exposures(0.0, rows, draw)[0]
    alone = (rows.exposure == number) & (rows.columns["rcid"] < 8)
    first = np.zeros(len(alone), bool)
    first[np.unique(np.where(alone, rows.columns["rcid"], 99), return_index=True)[1][:-1]] = True
    rows.columns["mag"] += 0.3 * (first & alone)
    rows.keep(~alone | first)


def _bright_stars(rows: Rows, draw: np.random.Generator) -> None:
    """Near saturation the brightest stars lose light: 20 mmag per magnitude, on one CCD."""
    bright = (rows.columns["ccd"] == 7) & (rows.columns["mag"] < 17)
    rows.columns["mag"] += np.where(bright, 0.02 * (17 - rows.columns["mag"]), 0.0)


TABLE_FAULTS: Mapping[str, TableFault] = {
    "outliers of a twentieth": TableFault(_outliers, RIGHT),
    "errors half as large": TableFault(_half_errors, RIGHT),
    "a third of twice the noise": TableFault(_noisy_exposures, RIGHT),
    "uneven clouds in a fifth": TableFault(_uneven_clouds, FLAGGED),
    "grey clouds in a fifth": TableFault(_grey_clouds, FLAGGED),
    "magnitudes that are none": TableFault(_no_magnitudes, RIGHT),
    "errors that are none": TableFault(_no_errors, RIGHT),
    "rows twice": TableFault(_rows_twice, RIGHT),
    "mistaken stars": TableFault(_mistaken_stars, RIGHT),
    "an exposure of another field": TableFault(_wrong_field, FLAGGED),
    "one wrong star in a quadrant": TableFault(_one_star, RIGHT),
}
"""What goes wrong with the measurements of a survey or a dithered sequence, by name."""
SURVEY_FAULTS: Mapping[str, TableFault] = {
    **TABLE_FAULTS,
    "step of a quadrant": TableFault(_step, FLAGGED),
    "colour term of a CCD": TableFault(_colour_term, FLAGGED),
    "bright stars of a CCD": TableFault(_bright_stars, FLAGGED),
}
"""Those of a survey: a step in time and slopes within a CCD too."""
