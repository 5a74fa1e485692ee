"""The address of a product, and what is said of it once it is in the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

NO_RECIPE = "-"
"""Stands for the recipe of what was not computed here."""

Value = str | int | float | bool | None


class Kind(StrEnum):
    """Kinds of products, the first part of their addresses."""

    RAW = "raw"
    """Raw frame of a CCD as the archive has it: object, bias or flat."""
    HEADER = "header"
    """Header of the archive's science image of a quadrant, without its pixels."""
    SCIENCE = "science"
    """The archive's own science image of a quadrant."""
    MASK = "mask"
    """The archive's mask of a quadrant."""
    REFERENCE = "reference"
    """Stars of one HEALPix pixel of the reference catalogue."""
    BIAS = "bias"
    """Master bias of a CCD over a period."""
    LED_FLAT = "ledflat"
    """Flat of a CCD by one lamp, divided by its median."""
    FLAT = "flat"
    """Flat of a CCD in a filter: the mean over its lamps."""
    FOCAL_PLANE = "focalplane"
    """Levels of the flats of a filter over the focal plane."""
    QUALITY = "quality"
    """Verdict on a master."""
    BAD_PIXELS = "badpixels"
    """Bad pixels of a CCD in a filter, as its calibration frames show them."""
    CALIBRATIONS = "calibrations"
    """List of a period's calibrations."""
    POCKET_PROFILES = "pocketprofiles"
    """Mean overscans behind blocks of rows of a CCD exposure."""
    POCKET = "pocket"
    """What the pockets of a CCD hold behind each level."""
    FRINGE = "fringe"
    """Patterns of the sky's lines on a CCD."""
    LINEARITY = "linearity"
    """Response of the readout channels of a CCD, from flats of several levels."""
    QUADRANT = "quadrant"
    """Detrended image of a quadrant, with errors and mask."""
    CATALOGUE = "apcat"
    """Aperture catalogue of a CCD exposure: reference stars measured on its four quadrants."""
    SCIENCE_CATALOGUE = "sciapcat"
    """Aperture catalogue of the archive's own science images."""
    STAR_TABLE = "startable"
    """Measurements of one filter and period in one part of the sky, star by star."""
    STAR_INDEX = "starindex"
    """Which partitions a star table has."""
    STAR_NAMES = "starnames"
    """What an imported table calls the stars and exposures that were numbered."""
    STARFLAT = "starflat"
    """Parameters of the fit of a dithered sequence."""
    STARFLAT_MAP = "starflatmap"
    """Response of the focal plane on superpixels, ready to apply."""
    STARFLAT_RESIDUALS = "starflatresiduals"
    """Residuals of the fit of a dithered sequence, measurement by measurement."""
    UBERCAL = "ubercal"
    """Parameters of the fit of a survey."""
    ZERO_POINTS = "zeropoints"
    """Zero points of each quadrant of each exposure of a survey."""
    MEAN_STARS = "meanstars"
    """Mean magnitudes and colours of the stars of a survey."""
    REPEATABILITY = "repeatability"
    """Scatter of the stars that took no part in the fit of a survey."""
    RESIDUAL_MAP = "residualmap"
    """What the fit of a survey leaves over the focal plane."""
    SKY_MAP = "skymap"
    """Residuals of a survey over the sky, against an external catalogue."""
    IMAGE = "image"
    """A science image from anywhere."""
    IMAGE_MASK = "imagemask"
    """The mask beside it."""
    PSF = "psf"
    """Point spread function of a quadrant exposure."""
    PSF_CATALOGUE = "psfcat"
    """Stars of a quadrant exposure, measured with its PSF."""
    STAMP = "stamp"
    """A target, cut out of an exposure."""
    LIGHT_CURVE = "lightcurve"
    """Fluxes of a target, exposure by exposure, with their covariance."""
    CURVE_STARS = "curvestars"
    """Stars that tell the throughputs of a light curve, and how well they repeat."""
    SCENE = "scene"
    """Data and model of every exposure of a light curve, and the galaxy."""
    SUMMARY = "summary"
    """Numbers of a night, behind its figures."""
    FIGURE = "figure"
    """Picture of a page."""
    REPORT = "report"
    """Page of a night, a period or a fit: figures, numbers, verdict."""


@dataclass(frozen=True, slots=True, order=True)
class ProductRef:
    """Address of one product: what it is, of which data, made by which recipe.

    The address names the product in the store and in the log.  Whether what is stored there
    is still the right one is another question, answered by the fingerprint in its manifest:
    recipe and content digests of its inputs.
    """

    kind: Kind
    recipe: str
    """Digest of the recipe, or "-" for what we did not compute."""
    data_id: str
    """Part of the survey covered, e.g. "20190401_20190430/c03"."""
    file_name: str = field(compare=False)

    @property
    def address(self) -> str:
        """Kind, recipe and data id as one text."""
        return f"{self.kind}/{self.recipe}/{self.data_id}"

    @property
    def path(self) -> str:
        """Path of the file below the root of the store."""
        return f"{self.address}/{self.file_name}"

    @property
    def label(self) -> str:
        """For a person: kind, then the smallest part first (``bias c03 20190401_20190430``)."""
        return " ".join([self.kind, *reversed(self.data_id.split("/"))])


@dataclass(frozen=True, slots=True)
class Built:
    """A product that is in the store, by reference: what travels between tasks instead of pixels."""

    ref: ProductRef
    sha256: str
    """Digest of the file; the key of everything made from it."""
    size: int
    """Size of the file, bytes."""
    about: Mapping[str, Value] = field(default_factory=dict, compare=False)
    """Small facts that whoever made the product noted in its manifest."""
    found: bool = field(default=False, compare=False)
    """True if it was in the store already, False if it was made now."""
