"""Which measurements of which stars a fit is given."""

from __future__ import annotations

from dataclasses import dataclass

from ztf_in2p3.recipes.light_curve import PsfCatalogueRecipe
from ztf_in2p3.recipes.photometry import CatalogueRecipe

FINEST = 6
"""HEALPix order of the pixels that a catalogue notes in its manifest."""


@dataclass(frozen=True, slots=True)
class ImportedColumns:
    """Names that an imported table gives to our columns, in any case; empty: it has none.

    Stars, exposures or dates, quadrants, magnitudes and their errors must be there; what else is named here and is not
    in the table counts as unknown.  The defaults are those of ``starid ccdid qid x y mjd airmass colour mag emag``;
    `ztf_in2p3.catalogue.column_maps` has more.
    """

    star_id: str = "starid"
    """Numbers or texts; empty: stars are told by their place."""
    exposure: str = ""
    """Numbers or texts; if empty, measurements of one mjd (to a second) are of one exposure."""
    rcid: str = ""
    """Readout channel, 0 to 63; if empty, from the next two."""
    ccd: str = "ccdid"
    """1 to 16."""
    qid: str = "qid"
    """1 to 4."""
    x: str = "x"
    """Column, in pixels of the quadrant as stored."""
    y: str = "y"
    """Row, in pixels of the quadrant as stored."""
    mjd: str = "mjd"
    """Modified Julian date of the exposure."""
    airmass: str = "airmass"
    """Airmass of the star."""
    colour: str = "colour"
    """Colour of the star, BP-RP of Gaia."""
    mag: str = "mag"
    """Instrumental magnitude."""
    mag_e: str = "emag"
    """Error of the magnitude, magnitudes."""
    ra: str = ""
    """Right ascension, degrees."""
    dec: str = ""
    """Declination, degrees."""
    g: str = ""
    """Magnitude G of Gaia."""
    filter: str = ""
    """Code (zr, r, ztfr) or number (1 to 3); empty: all measurements are of the filter that is asked for."""
    flags: str = ""
    """Integer whose bits say what is wrong with a measurement."""
    bad_flags: int = 0
    """Bits of the flags any of which makes a measurement unusable."""
    first_pixel: float = 0.0
    """What the table calls the centre of the first pixel: 0, or 1 as in FITS."""
    match_arcsec: float = 1.0
    """Distance within which measurements are of one star, where stars are known by their place only."""


@dataclass(frozen=True, slots=True)
class StarTableRecipe:
    """Measurements of a filter and period, ready for a fit."""

    catalogue: CatalogueRecipe = CatalogueRecipe()
    radius: float = 6.0
    """Pixels; of the aperture whose flux is taken, one of the catalogue's."""
    psf: PsfCatalogueRecipe | None = None
    """Photometry by the PSF, as the flow scene made it, instead of that catalogue and aperture."""
    region: tuple[float, ...] = (0.0, 360.0, -90.0, 90.0)
    """First and last right ascension, through 0 if the first is larger; first and last declination; degrees."""
    fields: tuple[int, ...] = ()
    """Fields of the survey's grid; all if empty."""
    infobits: int = 0x7FFFFFFF
    """Bits of the archive's INFOBITS any of which rejects a quadrant; as it stands, all of them."""
    isolated: bool = True
    """Only stars with no other within the catalogue's distance."""
    flags: int = 0x1161
    """Mask bits that reject a star if set within the largest aperture: track, ghosts, saturation, halo.  A bad pixel
    within the aperture itself always does.  By the PSF: within its stamp; many bad pixels, see f_psf_f."""
    bright: float = 13.0
    """Limit in G of the reference catalogue; brighter stars are left out."""
    faint: float = 18.5
    """Limit in G, as for bright stars: unlike one of a measured flux it prefers no fluctuation."""
    signal_to_noise: float = 5.0
    """Least, of a measurement; low enough to reject failures, not fluctuations."""
    observations: int = 3
    """Least, of a star, once all else is cut."""
    starflat: str = ""
    """Digest of the recipe of starflats; the map nearest in time corrects the magnitudes.  Empty: none."""
    order: int = 5
    """HEALPix order of the partitions, nested: pixels of 1.8 degrees."""
    imported: ImportedColumns | None = None
    """Columns of an imported table, read in place of our catalogues; None: our catalogues are read."""
    imported_rows: int = 4_000_000
    """Rows of a partition of an imported table, about."""
    version: int = 1

    def __post_init__(self) -> None:
        if self.psf is None and self.radius not in self.catalogue.photometry.radii:
            raise ValueError(f"radius {self.radius}: the catalogue's are {self.catalogue.photometry.radii}")
        if len(self.region) != 4 or not -90 <= self.region[2] < self.region[3] <= 90:
            raise ValueError(f"region {self.region}: expected first and last RA, then first and last Dec, degrees")
        if not 0 <= self.order <= FINEST:
            raise ValueError(f"order {self.order}: from 0 to {FINEST} is possible")

    @property
    def measured(self) -> CatalogueRecipe | PsfCatalogueRecipe:
        """Recipe of the catalogues that are read."""
        return self.psf or self.catalogue

    @property
    def flux(self) -> str:
        """Column of the flux in them; its error and flag are named after it, with _e and _f."""
        return "f_psf" if self.psf else f"f_{self.catalogue.photometry.radii.index(self.radius)}"
