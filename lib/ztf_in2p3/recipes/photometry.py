"""Recipes from images to catalogues."""

from __future__ import annotations

from dataclasses import dataclass, field

from ztf_in2p3.recipes.detector import QuadrantRecipe


@dataclass(frozen=True, slots=True)
class ReferenceRecipe:
    """Which columns of the reference catalogue are kept, and under which names it is known."""

    catalogue: str = "gaia_dr3"
    """Name of the catalogue; another name keeps other reference stars beside these."""
    epoch: float = 2016.0
    """Julian year of its positions."""
    version: int = 1


@dataclass(frozen=True, slots=True)
class PhotometryRecipe:
    """Aperture photometry of one image."""

    radii: tuple[float, ...] = (3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0)
    """Pixels."""
    background_box: int = 128
    """Pixels of a cell of the background's mesh; cut down to the image where that is smaller."""
    isolation_arcsec: float = 20.0
    """A star with no other catalogue star within this distance is isolated."""
    detection_sigma: float = 5.0
    """Threshold where sources are detected rather than taken from a reference catalogue."""
    version: int = 4


@dataclass(frozen=True, slots=True)
class CatalogueRecipe:
    """Aperture catalogue of a CCD exposure, detrended on the fly."""

    quadrant: QuadrantRecipe = QuadrantRecipe()
    photometry: PhotometryRecipe = PhotometryRecipe()
    reference: ReferenceRecipe = ReferenceRecipe()
    version: int = 2


@dataclass(frozen=True, slots=True)
class ScienceCatalogueRecipe:
    """Aperture catalogue of the archive's own science images."""

    photometry: PhotometryRecipe = PhotometryRecipe()
    reference: ReferenceRecipe | None = field(default_factory=ReferenceRecipe)
    """None: sources are detected."""
    version: int = 2
