"""What is shown of a night, and of the detector."""

from __future__ import annotations

from dataclasses import dataclass

from ztf_in2p3.recipes.detector import QuadrantRecipe
from ztf_in2p3.recipes.photometry import CatalogueRecipe


@dataclass(frozen=True, slots=True)
class ReportRecipe:
    """A night's report."""

    catalogue: CatalogueRecipe = CatalogueRecipe()
    truth: str = ""
    """Digest of the plan of a simulated survey to compare with; empty for the real one."""
    radius: float = 6.0
    """Pixels; of the aperture that is compared with the truth."""
    version: int = 1


@dataclass(frozen=True, slots=True)
class DetectorRecipe:
    """The detector's page of a period."""

    quadrant: QuadrantRecipe = QuadrantRecipe()
    exposures: int = 4
    """Exposures of each CCD that are looked at, spread evenly over the period."""
    version: int = 1
