"""Exposures through uneven clouds: what they are given, so that the others do not move."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray

from ztf_in2p3.fit.error_model import Exposures
from ztf_in2p3.fit.model import Floats, Model, Parts
from ztf_in2p3.recipes import UbercalRecipe
from ztf_in2p3.ubercal.photometricity import unevenness

FREE = 0.5
"""Prior of the residuals of the quadrants of an uneven exposure, magnitudes: none to speak of."""

NOTHING = float(np.log(1e4))
"""Added to the logarithm of the variance of exposures that are left out."""


@dataclass(frozen=True, slots=True, eq=False)
class UnevenExposures:
    """Looks at a solution for uneven exposures, each of which is treated once; for `ztf_in2p3.fit.robust.fit`."""

    recipe: UbercalRecipe
    labels: NDArray
    """(zero point, 2): exposure and rcid."""
    sums: sparse.csr_array
    """(zero point, parameter)"""

    def __call__(self, model: Model, p: Floats) -> tuple[Floats | None, Floats | None]:
        """Other prior weights, or what is added to the logarithm of the variance of each exposure; None: no change."""
        if self.recipe.uneven_exposures == "keep":
            return None, None
        exposures = Exposures.of_model(model)
        known, at = np.unique(self.labels[:, 0], return_inverse=True)
        limits, n = self.recipe.photometric, len(known)
        kept, total = model.total(_counts, exposures)
        with np.errstate(invalid="ignore", divide="ignore"):
            uneven = unevenness(at, self.labels[:, 1], self.sums @ p, n) > limits.uneven
            uneven |= 1 - kept / total > 2 * limits.rejected
        several = np.bincount(at) > 1  # the residual of an only quadrant is the exposure's zero point again
        prior_weight = self._freed(model, (uneven & several)[at])
        if self.recipe.uneven_exposures == "free" or prior_weight is None:
            return prior_weight, None
        return prior_weight, np.where(uneven, NOTHING, 0.0)

    def _freed(self, model: Model, uneven: NDArray[np.bool_]) -> Floats | None:
        if "residual" not in [family.name for family in model.families]:
            return None  # free already
        weight = model.prior_weight.copy()
        span = model.span("residual")
        weight[span] = np.where(uneven, FREE**-2, weight[span])
        return None if np.array_equal(weight, model.prior_weight) else weight

    def set_priors(self, model: Model, prior_weight: Floats) -> None:
        """Residuals that are free make the zero point of their exposure uncertain: its gauge does without it.

        `prior_weight`: (parameter,).
        """
        model.prior_weight[:] = prior_weight
        span = model.span("residual")
        freed = np.unique(self.labels[prior_weight[span] <= 1.01 * FREE**-2, 0])
        model.steady[model.span("zero_point")] = ~np.isin(model.family("zero_point").labels, freed)


def _counts(parts: Parts, exposures: Exposures) -> Floats:
    """Measurements kept, and all, by exposure; of stars in the fit."""
    counts = np.zeros((2, exposures.n))
    for part in parts:
        fitted = np.repeat(part.set_aside == 0, np.diff(part.first))
        at = exposures.of_rows(part)
        counts += [np.bincount(at, weight, exposures.n) for weight in (fitted & (part.kept > 0), fitted)]
    return counts
