"""Recipe from quadrant exposures to the light curve of a target."""

from __future__ import annotations

from dataclasses import dataclass

from ztf_in2p3.recipes.detector import QuadrantRecipe
from ztf_in2p3.recipes.photometry import ReferenceRecipe
from ztf_in2p3.recipes.scene import PsfRecipe, SceneRecipe


@dataclass(frozen=True, slots=True)
class PsfCatalogueRecipe:
    """PSF of a quadrant exposure, its stars measured with it, and the targets on it cut out."""

    quadrant: QuadrantRecipe | None = QuadrantRecipe()
    """None: images that come detrended."""
    reference: ReferenceRecipe = ReferenceRecipe()
    psf: PsfRecipe = PsfRecipe()
    side: int = 19
    """Pixels; of the stamps of stars and targets: of one size, so that both lack the same share of a PSF's wings."""
    isolation_arcsec: float = 18.0
    """Distance within which a star has no neighbour that matters."""
    isolation_mag: float = 4.0
    """Stars with another within that distance, less than that many magnitudes fainter, are measured and flagged, but
    show no PSF and tell no throughput."""
    max_stars: int = 6000
    """The brightest that are not saturated: all there are on a quadrant of ZTF, at 1 ms each."""
    bad_bits: int = 0
    """Bits of another camera's mask that make a pixel bad; 0: each of them."""
    version: int = 5

    def __post_init__(self) -> None:
        if self.side < 9 or self.side % 2 == 0:
            raise ValueError(f"side = {self.side}: stamps have an odd number of pixels, 9 or more")


@dataclass(frozen=True, slots=True)
class PsfReportRecipe:
    """Pictures of the PSFs of a period."""

    stars: PsfCatalogueRecipe = PsfCatalogueRecipe()
    most: int = 400
    """Quadrant exposures shown, evenly chosen."""
    version: int = 1


@dataclass(frozen=True, slots=True)
class GaiaColours:
    """m - G of a star in each band as a polynomial in BP - RP, coefficients of rising powers.

    SDSS g, r, i by default: Riello et al. 2021, A&A 649, A3, table C.2, with a scatter of 0.07, 0.04 and 0.04 mag.
    """

    zg: tuple[float, ...] = (-0.2199, 0.6365, 0.1548, -0.0064)
    """Polynomial in BP-RP for zg, constant first, magnitudes."""
    zr: tuple[float, ...] = (0.09837, -0.08592, -0.1907, 0.1701, -0.02263)
    """Polynomial in BP-RP for zr, constant first, magnitudes."""
    zi: tuple[float, ...] = (0.293, -0.6404, 0.09609, 0.002104)
    """Polynomial in BP-RP for zi, constant first, magnitudes."""
    range: tuple[float, float] = (0.5, 2.0)
    """BP - RP of the stars used: where the polynomials hold in all bands."""


@dataclass(frozen=True, slots=True)
class LightCurveRecipe:
    """Light curve of a target in one band."""

    stars: PsfCatalogueRecipe = PsfCatalogueRecipe()
    scene: SceneRecipe = SceneRecipe()
    filters: tuple[str, ...] = ()
    """Bands that the FILTER of other cameras stands for, as "SDSS-r=zr"; magnitudes are then those of that band."""
    max_seeing: float = 5.0
    """Pixels, FWHM."""
    allowed_infobits: int = 0
    """Bits of the archive's INFOBITS that an exposure may have."""
    margin: float = 0.0
    """Pixels between the target's stamp and the edge of the image."""
    zero_point: float = 30.0
    """Magnitude of a flux of 1."""
    gaia: GaiaColours = GaiaColours()
    """Magnitudes of the stars that set the zero point."""
    survey: str = ""
    """Digest of the recipe of a survey whose mean stars set the zero point instead, in its system; the latest of
    several.  Empty: none."""
    starflat: str = ""
    """Digest of the recipe of starflats; the map nearest in time corrects stars and target.  Empty: none."""
    version: int = 3

    def __post_init__(self) -> None:
        for pair in self.filters:
            if not all(part.strip() for part in pair.partition("=")):
                raise ValueError(f"filters: {pair!r}; expected a camera's FILTER and a band, as 'SDSS-r=zr'")

    def band(self, name: str | None) -> str | None:
        """Band of an image whose header calls it so; None where it does not."""
        known = dict(pair.split("=", 1) for pair in self.filters)
        return {key.strip(): band.strip() for key, band in known.items()}.get(name or "", name)
