"""What a fit gives back: numbers with their errors, and in which sense they are to be taken."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.fit.error_model import ErrorModel, Exposures
from ztf_in2p3.fit.gauge import Degeneracy, Gauge
from ztf_in2p3.fit.model import Floats, Model
from ztf_in2p3.fit.stars import FitQuality, FittedStars, join, rejected_parts, star_parts


@dataclass(frozen=True, slots=True, eq=False)
class Parameters:
    """One family of parameters; arrays of one length."""

    name: str
    labels: NDArray
    value: Floats
    """NaN where nothing determines the parameter."""
    sigma: Floats
    """Errors in the gauge named below."""
    count: NDArray[np.int64]
    """Measurements used."""
    component: NDArray[np.int32]
    """Part of the sky or focal plane that stars connect; -1 where nothing determines the parameter."""
    flag: NDArray[np.int8]
    """Bits of `ztf_in2p3.fit.trust`: why not to trust it; 0: nothing is wrong."""
    gauge: str
    unit: str = "mag"

    def __repr__(self) -> str:
        known = int(np.isfinite(self.value).sum())
        return f"Parameters {self.name}: {known} of {len(self.value)} determined, in {self.unit}; gauge: {self.gauge}"

    @property
    def references(self) -> dict[int, int]:
        """Best measured parameter of each component, to quote the others against."""
        return {
            int(c): int(max(np.flatnonzero(self.component == c), key=lambda j: self.count[j]))
            for c in np.unique(self.component[self.component >= 0])
        }

    @property
    def undetermined(self) -> NDArray:
        """Labels of the parameters that no star compares with any other."""
        return self.labels[self.component < 0]


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


@dataclass(frozen=True, eq=False)
class Fit:
    """A solved model."""

    parameters: Mapping[str, Parameters]
    degeneracies: tuple[Degeneracy, ...]
    correlations: Mapping[str, tuple[tuple[str, float], ...]]
    """What each family of one or two parameters is most correlated with, and how much."""
    quality: FitQuality
    iterations: int
    """Iterations of the last solution to full accuracy."""
    rounds: int
    """Global solutions, one before and one after each change of the rejected rows."""
    converged: bool
    vector: Floats = field(repr=False)
    """All parameters, in the order of the model; 0 where undetermined."""
    label: NDArray[np.int32] = field(repr=False)
    """Connected part of each."""
    gauge: Gauge = field(repr=False)
    model: Model = field(repr=False)
    """Model with the rows rejected and the stars set aside."""
    fixed: NDArray[np.bool_] = field(repr=False)
    """(parameter,): not determined, but zero by choice; see `Family.fixed_if_unknown`."""
    sum_sigma: Floats = field(repr=False)
    """Standard deviations of the sums of parameters that were asked for; NaN where a term is unknown."""
    sum_component: NDArray[np.int32] = field(repr=False)
    """(sum,): part within which they can be compared; -1 where a term is unknown."""
    draws: NDArray[np.float32] = field(repr=False)
    """(parameter, draw): vectors whose covariance is that of the parameters; none where no errors were asked for."""
    errors: ErrorModel
    """What the claimed errors were changed by."""
    exposures: Exposures = field(repr=False)
    intake: Intake | None = None
    star_family: int = 0
    """Number of the family whose parts of the sky are those of the stars."""

    def __repr__(self) -> str:
        families = ", ".join(f"{len(family.value)} {name}" for name, family in self.parameters.items())
        how = "" if self.converged else ", NOT CONVERGED"
        return f"Fit of {families}: chi2 {self.chi2:.0f} for {self.dof} degrees of freedom{how}"

    def __getitem__(self, family: str) -> Parameters:
        return self.parameters[family]

    @property
    def chi2(self) -> float:
        """Sum of squared residuals over their variances."""
        return self.quality.chi2

    @property
    def dof(self) -> int:
        """Degrees of freedom."""
        return self.quality.dof

    @functools.cached_property
    def usable(self) -> Floats:
        """(parameter,): in the order of the model; those fixed are zero, NaN where unknown."""
        known = np.concatenate([np.isfinite(family.value) for family in self.parameters.values()])
        return np.where(known | self.fixed, self.vector, np.nan)

    def star_parts(self) -> Iterator[FittedStars]:
        """All stars, a partition at a time."""
        return star_parts(self.model, self.vector, self.label, self.star_family, self.draws)

    def rejected_parts(self) -> Iterator[NDArray[np.int64]]:
        """Rows of the input whose measurement was rejected, a partition at a time."""
        return rejected_parts(self.model)

    @functools.cached_property
    def stars(self) -> FittedStars:
        """All stars of the fit."""
        return join(self.star_parts())

    @functools.cached_property
    def rejected(self) -> NDArray[np.int64]:
        """Rows of the input whose measurement was rejected, ascending; rows of variable stars are not among them."""
        return np.sort(np.concatenate([np.zeros(0, np.int64), *self.rejected_parts()]))
