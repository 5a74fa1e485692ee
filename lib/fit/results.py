"""What a fit gives back: numbers with their errors, and in which sense they are to be taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lib.fit.gauge import Degeneracy, Gauge
from lib.fit.model import Floats
from lib.tables import Column, schema_of


@dataclass(frozen=True, slots=True, eq=False)
class Parameters:
    """One family of parameters; arrays of one length."""

    name: str
    labels: NDArray
    value: Floats
    """NaN where nothing determines the parameter."""
    sigma: Floats
    """In the gauge named below."""
    count: NDArray[np.int64]
    """Measurements used."""
    component: NDArray[np.int32]
    """Part of the sky or focal plane that stars connect; -1 where nothing determines the parameter."""
    gauge: str
    unit: str = "mag"

    @property
    def references(self) -> dict[int, int]:
        """For each component its best measured parameter, to quote the others against."""
        return {
            int(c): int(max(np.flatnonzero(self.component == c), key=lambda j: self.count[j]))
            for c in np.unique(self.component[self.component >= 0])
        }

    @property
    def undetermined(self) -> NDArray:
        """Labels of the parameters that no star compares with any other."""
        return self.labels[self.component < 0]


@dataclass(frozen=True, slots=True, eq=False)
class Stars:
    """Mean magnitudes; arrays of one length."""

    star_id: NDArray
    mag: Floats
    sigma: Floats
    """From the star's own measurements, the other parameters taken as known."""
    count: NDArray[np.int32]
    """Measurements used."""
    rejected: NDArray[np.int32]
    chi2: Floats
    variable: NDArray[np.bool_]
    """Scatters too much to be constant; left out of the fit as a whole."""
    held_out: NDArray[np.bool_]
    component: NDArray[np.int32]
    """Of the star in the first family, the zero points; -1 if it connects nothing."""

    def to_table(self) -> pa.Table:
        """With units, in the order of the fit: ascending star_id."""
        columns = {column.name: getattr(self, column.name) for column in STAR_COLUMNS}
        return pa.table(columns, schema=schema_of(STAR_COLUMNS))


STAR_COLUMNS = (
    Column("star_id", pa.int64(), "", "identifier in the reference catalogue"),
    Column("mag", pa.float64(), "mag", "mean magnitude, in the gauge of the fit"),
    Column("sigma", pa.float64(), "mag", "its standard deviation from the star's own measurements"),
    Column("count", pa.int32(), "", "measurements used"),
    Column("rejected", pa.int32(), "", "measurements rejected"),
    Column("chi2", pa.float64(), "", "of the measurements used"),
    Column("variable", pa.bool_(), "", "scatters too much to be constant"),
    Column("held_out", pa.bool_(), "", "took no part in the fit, to measure its repeatability"),
    Column("component", pa.int32(), "", "connected part of the sky"),
)


@dataclass(frozen=True, slots=True)
class Intake:
    """What was found in the input, and what became of it."""

    rows: int
    used: int
    """Rows of the fit, those rejected by it included."""
    dropped: Mapping[str, int]
    """Rows left out, by reason."""
    repeated: int
    """Rows of a star that was measured twice in one exposure, differently; kept."""


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """A solved model."""

    parameters: Mapping[str, Parameters]
    stars: Stars
    rejected: NDArray[np.int64]
    """Rows of the input whose measurement was rejected, ascending; rows of variable stars are not among them."""
    degeneracies: tuple[Degeneracy, ...]
    correlations: Mapping[str, tuple[tuple[str, float], ...]]
    """For each family of one or two parameters: what it is most correlated with, and how much."""
    chi2: float
    dof: int
    iterations: int
    """Of the last solution to full accuracy."""
    rounds: int
    """Global solutions, one before and one after each change of the rejected rows."""
    converged: bool
    vector: Floats = field(repr=False)
    """All parameters, in the order of the model; 0 where undetermined."""
    gauge: Gauge = field(repr=False)
    intake: Intake | None = None

    def __getitem__(self, family: str) -> Parameters:
        return self.parameters[family]
