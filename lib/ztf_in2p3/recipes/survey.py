"""Recipe from months of a survey to zero points and mean stars."""

from __future__ import annotations

from dataclasses import dataclass

from ztf_in2p3.recipes.fit import UbercalRecipe
from ztf_in2p3.recipes.star_table import StarTableRecipe


@dataclass(frozen=True, slots=True)
class SurveyRecipe:
    """Ubercal of a period: which measurements, what is fitted to them, and how it is looked at."""

    stars: StarTableRecipe = StarTableRecipe()
    fit: UbercalRecipe = UbercalRecipe()
    anchored: bool = False
    """Magnitudes of the external catalogue, with their errors, hold those of its stars; else it is only compared."""
    match_arcsec: float = 1.0
    """Distance within which a star of an external catalogue without our identifiers is the same."""
    cells: int = 4
    """Cells of the residual map along each side of a quadrant."""
    sky_order: int = 6
    """HEALPix order of the residual map on the sky, nested: cells of 0.9 degrees."""
    version: int = 1


@dataclass(frozen=True, slots=True)
class StarCurvesRecipe:
    """Calibrated light curves of all stars of a survey."""

    survey: SurveyRecipe = SurveyRecipe()
    clip: float = 5.0
    """Distance from the star's median, in standard deviations, beyond which a measurement is flagged; stars that the
    survey found variable are spared."""
    unusable: int = 0b11001
    """Bits of `ztf_in2p3.light_curves.calibration.PointFlag` any of which keeps a measurement out of its star's mean:
    no zero point, outlier, another part of the sky."""
    version: int = 1
