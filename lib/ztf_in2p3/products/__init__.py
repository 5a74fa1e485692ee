"""What the pipeline makes, and the address of each thing made.

The table below has a row for each product: its kind, how its data and its file are spelled, and what it is made of.
Addresses, file names and what is read back from an address (`period_of`, `ccd_of`, ...) follow from it.  File names are
those of the archive for what comes from there, and those of the IN2P3 pipeline for what is made here (M. Aubert, ZTF SN
Ia meeting, Barcelona, 2024-12-09).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import PurePath

from ztf_in2p3 import recipes
from ztf_in2p3.identifiers import CcdExposure, Exposure, Filter, Quadrant
from ztf_in2p3.periods import Period
from ztf_in2p3.products.address import NO_RECIPE as NO_RECIPE
from ztf_in2p3.products.address import Built as Built
from ztf_in2p3.products.address import ProductRef as ProductRef
from ztf_in2p3.products.address import Value as Value
from ztf_in2p3.products.kinds import Kind as Kind
from ztf_in2p3.products.layout import laid_out, our_name
from ztf_in2p3.products.names import ccd_of as ccd_of
from ztf_in2p3.products.names import ccdid_of as ccdid_of
from ztf_in2p3.products.names import exposure_of as exposure_of
from ztf_in2p3.products.names import filter_of as filter_of
from ztf_in2p3.products.names import is_of_survey as is_of_survey
from ztf_in2p3.products.names import led_of as led_of
from ztf_in2p3.products.names import part_of as part_of
from ztf_in2p3.products.names import period_of as period_of
from ztf_in2p3.products.names import quadrant_of as quadrant_of

_CCD, _QUADRANT = "{ccd.exposure}/c{ccd.ccdid:02d}", "{ccd.exposure}/c{ccd.ccdid:02d}_q{qid}"
_OURS = "ztfin2p3_{dates}_000000_"
_SURVEY = (Kind.UBERCAL, Kind.ZERO_POINTS, Kind.MEAN_STARS, Kind.REPEATABILITY, Kind.RESIDUAL_MAP, Kind.SKY_MAP)

# --- from the archive


@laid_out(Kind.RAW, data=_CCD, file="{ccd}.fits.fz")
def raw_ref(ccd: CcdExposure) -> None:
    """Raw file of a CCD exposure."""


@laid_out(Kind.HEADER, data=_QUADRANT, file="{ccd}_q{qid}_scihdr.fits")
def header_ref(ccd: CcdExposure, qid: int) -> None:
    """Header of the archive's science image of a quadrant exposure."""


@laid_out(Kind.SCIENCE, data=_QUADRANT, file="{ccd}_q{qid}_sciimg.fits")
def science_ref(ccd: CcdExposure, qid: int) -> None:
    """Science image of the archive of a quadrant exposure."""


@laid_out(Kind.MASK, data=_QUADRANT, file="{ccd}_q{qid}_mskimg.fits")
def mask_ref(ccd: CcdExposure, qid: int) -> None:
    """Mask of the archive of a quadrant exposure."""


@laid_out(Kind.REFERENCE, data="Norder{order}_Npix{pixel}", file="{recipe.catalogue}_Norder{order}_Npix{pixel}.parquet")
def reference_ref(recipe: recipes.ReferenceRecipe, order: int, pixel: int) -> None:
    """Stars of one pixel of the nested HEALPix scheme."""


# --- of the frames of a period


@laid_out(Kind.BIAS, data="{period}/c{ccdid:02d}", file=_OURS + "bi_c{ccdid:02d}_bias.fits")
def bias_ref(recipe: recipes.BiasRecipe, period: Period, ccdid: int) -> None:
    """Master bias of a CCD."""


@laid_out(
    Kind.LED_FLAT,
    data="{period}/{filter}/l{led:02d}/c{ccdid:02d}",
    file=_OURS + "{filter}_c{ccdid:02d}_l{led:02d}_flat.fits",
)
def led_flat_ref(recipe: recipes.LedFlatRecipe, period: Period, filter: Filter, led: int, ccdid: int) -> None:
    """Flat of a CCD under one LED."""


@laid_out(Kind.FLAT, data="{period}/{filter}/c{ccdid:02d}", file=_OURS + "{filter}_c{ccdid:02d}_l00_flat.fits")
def flat_ref(recipe: recipes.FlatRecipe, period: Period, filter: Filter, ccdid: int) -> None:
    """Master flat of a CCD and filter."""


@laid_out(Kind.FOCAL_PLANE, data="{period}/{filter}", file=_OURS + "{filter}_focalplane.parquet")
def focal_plane_ref(recipe: recipes.FocalPlaneRecipe, period: Period, filter: Filter) -> None:
    """Levels of a filter's flats over the focal plane."""


@laid_out(Kind.QUALITY, data="{period}/{master.kind}/{part}", file=_OURS + "{words}_{master.kind}.json")
def quality_ref(recipe: recipes.VerdictRecipe | recipes.OperatorsWord, master: ProductRef) -> Mapping[str, object]:
    """Verdict on a master, the comparison's or an operator's."""
    part = part_of(master)
    return {"period": period_of(master), "part": part, "words": part.replace("/", "_")}


@laid_out(Kind.BAD_PIXELS, data="{period}/{filter}/c{ccdid:02d}", file=_OURS + "{filter}_c{ccdid:02d}_badpixels.fits")
def bad_pixels_ref(recipe: recipes.BadPixelMapRecipe, period: Period, filter: Filter, ccdid: int) -> None:
    """Bad pixels of a CCD and filter."""


@laid_out(Kind.CALIBRATIONS, data="{period}", file=_OURS + "calibrations.parquet")
def calibrations_ref(recipe: recipes.CalibrationsRecipe, period: Period) -> None:
    """List of the calibrations of a period."""


@laid_out(Kind.POCKET, data="{period}/c{ccdid:02d}", file=_OURS + "c{ccdid:02d}_pocket.parquet")
def pocket_ref(recipe: recipes.PocketRecipe, period: Period, ccdid: int) -> None:
    """Measured pockets of the amplifiers of a CCD."""


@laid_out(Kind.FRINGE, data="{period}/{filter}/c{ccdid:02d}", file=_OURS + "{filter}_c{ccdid:02d}_fringe.fits")
def fringe_ref(recipe: recipes.FringeRecipe, period: Period, filter: Filter, ccdid: int) -> None:
    """Fringe maps of a CCD and filter."""


@laid_out(Kind.SUMMARY, data="{period}/{filter}/c{ccdid:02d}", file=_OURS + "{filter}_c{ccdid:02d}_fringes.parquet")
def fringe_amplitudes_ref(recipe: recipes.FringeRecipe, period: Period, ccdid: int) -> Mapping[str, object]:
    """Amplitudes of the fringes of a CCD's exposures."""
    return {"filter": Filter.ZI}


@laid_out(Kind.LINEARITY, data="{period}/c{ccdid:02d}", file=_OURS + "c{ccdid:02d}_linearity.parquet")
def linearity_ref(recipe: recipes.LinearityRecipe, period: Period, ccdid: int) -> None:
    """Measured linearity of a CCD."""


@laid_out(Kind.FIGURE, data="{period}/{name}", file=_OURS + "{name}.png")
def sensor_figure_ref(
    recipe: recipes.PocketRecipe | recipes.LinearityRecipe | recipes.FringeRecipe | recipes.DetectorRecipe,
    period: Period,
    name: str,
) -> None:
    """Figure of what was measured of a sensor over a period."""


@laid_out(Kind.SUMMARY, data="{period}/c{ccdid:02d}", file=_OURS + "c{ccdid:02d}_detector.parquet")
def detector_numbers_ref(recipe: recipes.DetectorRecipe, period: Period, ccdid: int) -> None:
    """Measurements of the detector on exposures of a CCD."""


@laid_out(Kind.REPORT, data="{period}", file=_OURS + "detector.html")
def detector_page_ref(recipe: recipes.DetectorRecipe, period: Period) -> None:
    """Page about the detector in a period."""


# --- of an exposure, or of a night of them


@laid_out(Kind.QUADRANT, data=_QUADRANT, file="{made}_q{qid}_sciimg.fits")
def quadrant_ref(recipe: recipes.QuadrantRecipe, ccd: CcdExposure, qid: int) -> None:
    """Detrended quadrant of an exposure."""


@laid_out(Kind.CATALOGUE, data=_CCD, file="{made}_apcat.parquet")
def catalogue_ref(recipe: recipes.CatalogueRecipe, ccd: CcdExposure) -> None:
    """One file for the four quadrants of a CCD exposure."""


@laid_out(Kind.SCIENCE_CATALOGUE, data=_CCD, file="{made}_sciapcat.parquet")
def science_catalogue_ref(recipe: recipes.ScienceCatalogueRecipe, ccd: CcdExposure) -> None:
    """The same of the archive's own science images."""


@laid_out(Kind.POCKET_PROFILES, data=_CCD, file="{made}_pocketprofiles.parquet")
def pocket_profiles_ref(recipe: recipes.PocketProfileRecipe, ccd: CcdExposure) -> None:
    """Profiles of the deferred charge of a CCD exposure."""


@laid_out(Kind.SUMMARY, data="{night:%Y%m%d}/{name}", file="ztfin2p3_{night:%Y%m%d}_{name}.parquet")
def summary_ref(recipe: recipes.ReportRecipe, night: date, name: str) -> None:
    """Table of numbers of a night."""


@laid_out(Kind.FIGURE, data="{night:%Y%m%d}/{name}", file="ztfin2p3_{night:%Y%m%d}_{name}.png")
def figure_ref(
    recipe: recipes.ReportRecipe | recipes.ScienceCatalogueRecipe | recipes.PsfCatalogueRecipe, night: date, name: str
) -> None:
    """Figure of a night."""


@laid_out(Kind.REPORT, data="{night:%Y%m%d}", file="ztfin2p3_{night:%Y%m%d}_report.html")
def report_ref(recipe: recipes.ReportRecipe, night: date) -> None:
    """Report of a night."""


# --- of the measurements of a period: the star table and what is fitted to it


@laid_out(Kind.STAR_TABLE, data="{period}/{filter}/{partition}", file=_OURS + "{filter}_{partition}_stars.parquet")
def star_table_ref(recipe: recipes.StarTableRecipe, period: Period, filter: Filter, partition: str) -> None:
    """A partition: ``n<order>_<pixel>`` of the nested HEALPix scheme, or ``p<number>`` of an imported table."""


@laid_out(Kind.STAR_INDEX, data="{period}/{filter}/index", file=_OURS + "{filter}_starindex.parquet")
def star_index_ref(recipe: recipes.StarTableRecipe, period: Period, filter: Filter) -> None:
    """What the partitions of a filter and period are."""


@laid_out(Kind.STAR_NAMES, data="{period}/{filter}/names", file=_OURS + "{filter}_starnames.parquet")
def star_names_ref(recipe: recipes.StarTableRecipe, period: Period, filter: Filter) -> None:
    """What an imported table calls its stars and exposures."""


@laid_out(Kind.STARFLAT, data="{period}/{filter}/parameters", file=_OURS + "{filter}_starflat.parquet")
def starflat_ref(recipe: recipes.SequenceRecipe, night: date, filter: Filter) -> Mapping[str, object]:
    """Parameters of a starflat."""
    return {"period": Period.of(night)}


@laid_out(Kind.STARFLAT_MAP, data="{period}/{filter}/map", file=_OURS + "{filter}_starflatmap.parquet")
def starflat_map_ref(recipe: recipes.SequenceRecipe, night: date, filter: Filter) -> Mapping[str, object]:
    """Response map of a starflat, ready to apply."""
    return {"period": Period.of(night)}


@laid_out(Kind.STARFLAT_RESIDUALS, data="{period}/{filter}/residuals", file=_OURS + "{filter}_starflatres.parquet")
def starflat_residuals_ref(recipe: recipes.SequenceRecipe, night: date, filter: Filter) -> Mapping[str, object]:
    """Residuals of a starflat."""
    return {"period": Period.of(night)}


@laid_out(*_SURVEY, data="{period}/{filter}/survey", file=_OURS + "{filter}_{kind}.parquet")
def survey_ref(kind: Kind, recipe: recipes.SurveyRecipe, period: Period, filter: Filter) -> None:
    """One of the products of the fit of a survey."""


@laid_out(
    Kind.STAR_CURVES, data="{period}/{filter}/{partition}", file=_OURS + "{filter}_{partition}_starcurves.parquet"
)
def star_curves_ref(recipe: recipes.StarCurvesRecipe, period: Period, filter: Filter, partition: str) -> None:
    """Light curves of the stars of one partition of the star table."""


@laid_out(Kind.CURVE_OBJECTS, data="{period}/{filter}/objects", file=_OURS + "{filter}_curveobjects.parquet")
def curve_objects_ref(recipe: recipes.StarCurvesRecipe, period: Period, filter: Filter) -> None:
    """Stars of all partitions."""


@laid_out(Kind.FIGURE, data="{period}/{filter}/ubercal-{name}", file=_OURS + "{filter}_ubercal-{name}.png")
def survey_figure_ref(recipe: recipes.SurveyRecipe, period: Period, filter: Filter, name: str) -> None:
    """Figure of fitted zero points."""


@laid_out(Kind.FIGURE, data="{period}/{filter}/psf-{name}", file=_OURS + "{filter}_psf-{name}.png")
def psf_figure_ref(recipe: recipes.PsfReportRecipe, period: Period, filter: Filter, name: str) -> None:
    """Figure of the PSFs of a period."""


@laid_out(Kind.FIGURE, data="{period}/{filter}/{name}", file=_OURS + "{filter}_starflat_{name}.png")
def starflat_figure_ref(recipe: recipes.SequenceReportRecipe, period: Period, filter: Filter, name: str) -> None:
    """Figure of a starflat."""


# --- of a quadrant exposure, or any image, on the way to the light curve of a target


@laid_out(Kind.IMAGE, data="image_{stem}", file="{base}")
def image_ref(stem: str, file_name: str) -> Mapping[str, object]:
    """A science image from anywhere; its data id does not start with digits, as those of the archive's do."""
    return {"base": PurePath(file_name).name}


@laid_out(Kind.IMAGE_MASK, data="image_{stem}", file="{base}")
def image_mask_ref(stem: str, file_name: str) -> Mapping[str, object]:
    """Mask of an image from elsewhere."""
    return {"base": PurePath(file_name).name}


@laid_out(Kind.PSF, data="{image}", file="{stem}_psf.parquet")
def psf_ref(recipe: recipes.PsfCatalogueRecipe, image: str) -> Mapping[str, object]:
    """PSF; `image`: data id of a quadrant exposure (`2019..._zr_o/c03_q2`) or of an image."""
    return {"stem": _stem(image)}


@laid_out(Kind.PSF_CATALOGUE, data="{image}", file="{stem}_psfcat.parquet")
def psf_catalogue_ref(recipe: recipes.PsfCatalogueRecipe, image: str) -> Mapping[str, object]:
    """Stars of an image measured with its PSF."""
    return {"stem": _stem(image)}


@laid_out(Kind.STAMP, data="{image}/{target}", file="{stem}_{target}_stamp.parquet")
def stamp_ref(recipe: recipes.PsfCatalogueRecipe, image: str, target: str) -> Mapping[str, object]:
    """Pixels of an image around a target."""
    return {"stem": _stem(image)}


@laid_out(Kind.LIGHT_CURVE, data="target_{target}/{band}", file="ztfin2p3_{target}_{band}_lightcurve.parquet")
def light_curve_ref(recipe: recipes.LightCurveRecipe, target: str, band: str) -> None:
    """Light curve of a target in a band."""


@laid_out(Kind.CURVE_STARS, data="target_{target}/{band}", file="ztfin2p3_{target}_{band}_stars.parquet")
def curve_stars_ref(recipe: recipes.LightCurveRecipe, target: str, band: str) -> None:
    """Stars that tell the throughputs of a light curve, and how well they repeat."""


@laid_out(Kind.SCENE, data="target_{target}/{band}", file="ztfin2p3_{target}_{band}_scene.fits")
def scene_ref(recipe: recipes.LightCurveRecipe, target: str, band: str) -> None:
    """Data and model of every exposure, and the galaxy."""


@laid_out(Kind.FIGURE, data="target_{target}/{band}/{name}", file="ztfin2p3_{target}_{band}_{name}.png")
def scene_figure_ref(recipe: recipes.LightCurveRecipe, target: str, band: str, name: str) -> None:
    """Figure of a target's light curve in a band."""


def _stem(image: str) -> str:
    """Beginning of the names of files that are made of an image."""
    exposure, _, quadrant = image.partition("/")
    if not quadrant:
        return image.removeprefix("image_")
    place = Quadrant.parse(quadrant)
    return f"{our_name(CcdExposure(Exposure.parse(exposure), place.ccdid))}_q{place.qid}"
