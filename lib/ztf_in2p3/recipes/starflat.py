"""Recipe from a dithered sequence to the response of the focal plane."""

from __future__ import annotations

from dataclasses import dataclass

from ztf_in2p3.recipes.fit import StarflatRecipe
from ztf_in2p3.recipes.star_table import StarTableRecipe


@dataclass(frozen=True, slots=True)
class SequenceRecipe:
    """Starflat of the exposures of a night: which measurements, and what is fitted to them."""

    stars: StarTableRecipe = StarTableRecipe()
    fit: StarflatRecipe = StarflatRecipe()
    anchored: bool = False
    """Magnitudes of an external catalogue, with their errors, hold those of its stars: a plane over the focal plane
    is then measured instead of taken out."""
    version: int = 1


@dataclass(frozen=True, slots=True)
class SequenceReportRecipe:
    """Pictures of a starflat."""

    sequence: SequenceRecipe = SequenceRecipe()
    truth: str = ""
    """Digest of the plan of a simulated survey to compare with; empty for the real one."""
    version: int = 1
