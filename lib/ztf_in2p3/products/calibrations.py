"""Products that are made of the frames of a period."""

from __future__ import annotations

from ztf_in2p3 import recipes
from ztf_in2p3.identifiers import Filter
from ztf_in2p3.periods import Period
from ztf_in2p3.products.address import Kind, ProductRef
from ztf_in2p3.products.names import part_of, period_name, period_of


def bias_ref(recipe: recipes.BiasRecipe, period: Period, ccdid: int) -> ProductRef:
    """Master bias of a CCD."""
    return _master(Kind.BIAS, recipe, period, f"c{ccdid:02d}", f"{Filter.BIAS}_c{ccdid:02d}_bias.fits")


def led_flat_ref(recipe: recipes.LedFlatRecipe, period: Period, filter: Filter, led: int, ccdid: int) -> ProductRef:
    """Flat of a CCD under one LED."""
    part = f"{filter}/l{led:02d}/c{ccdid:02d}"
    return _master(Kind.LED_FLAT, recipe, period, part, f"{filter}_c{ccdid:02d}_l{led:02d}_flat.fits")


def flat_ref(recipe: recipes.FlatRecipe, period: Period, filter: Filter, ccdid: int) -> ProductRef:
    """Master flat of a CCD and filter."""
    part = f"{filter}/c{ccdid:02d}"
    return _master(Kind.FLAT, recipe, period, part, f"{filter}_c{ccdid:02d}_l00_flat.fits")


def focal_plane_ref(recipe: recipes.FocalPlaneRecipe, period: Period, filter: Filter) -> ProductRef:
    """Levels of a filter's flats over the focal plane."""
    return _master(Kind.FOCAL_PLANE, recipe, period, str(filter), f"{filter}_focalplane.parquet")


def quality_ref(recipe: recipes.VerdictRecipe | recipes.OperatorsWord, master: ProductRef) -> ProductRef:
    """Verdict on a master, the comparison's or an operator's."""
    part = part_of(master)
    name = f"{part.replace('/', '_')}_{master.kind}.json"
    return _master(Kind.QUALITY, recipe, period_of(master), f"{master.kind}/{part}", name)


def bad_pixels_ref(recipe: recipes.BadPixelMapRecipe, period: Period, filter: Filter, ccdid: int) -> ProductRef:
    """Bad pixels of a CCD and filter."""
    part = f"{filter}/c{ccdid:02d}"
    return _master(Kind.BAD_PIXELS, recipe, period, part, f"{filter}_c{ccdid:02d}_badpixels.fits")


def calibrations_ref(recipe: recipes.CalibrationsRecipe, period: Period) -> ProductRef:
    """List of the calibrations of a period."""
    return _master(Kind.CALIBRATIONS, recipe, period, "", "calibrations.parquet")


def pocket_ref(recipe: recipes.PocketRecipe, period: Period, ccdid: int) -> ProductRef:
    """Measured pockets of the amplifiers of a CCD."""
    return _master(Kind.POCKET, recipe, period, f"c{ccdid:02d}", f"c{ccdid:02d}_pocket.parquet")


def fringe_ref(recipe: recipes.FringeRecipe, period: Period, filter: Filter, ccdid: int) -> ProductRef:
    """Fringe maps of a CCD and filter."""
    part = f"{filter}/c{ccdid:02d}"
    return _master(Kind.FRINGE, recipe, period, part, f"{filter}_c{ccdid:02d}_fringe.fits")


def fringe_amplitudes_ref(recipe: recipes.FringeRecipe, period: Period, ccdid: int) -> ProductRef:
    """Amplitudes of the fringes of a CCD's exposures."""
    name = f"{Filter.ZI}_c{ccdid:02d}_fringes.parquet"
    return _master(Kind.SUMMARY, recipe, period, f"{Filter.ZI}/c{ccdid:02d}", name)


def linearity_ref(recipe: recipes.LinearityRecipe, period: Period, ccdid: int) -> ProductRef:
    """Measured linearity of a CCD."""
    return _master(Kind.LINEARITY, recipe, period, f"c{ccdid:02d}", f"c{ccdid:02d}_linearity.parquet")


def sensor_figure_ref(
    recipe: recipes.PocketRecipe | recipes.LinearityRecipe | recipes.FringeRecipe | recipes.DetectorRecipe,
    period: Period,
    name: str,
) -> ProductRef:
    """Figure of what was measured of a sensor over a period."""
    return _master(Kind.FIGURE, recipe, period, name, f"{name}.png")


def detector_numbers_ref(recipe: recipes.DetectorRecipe, period: Period, ccdid: int) -> ProductRef:
    """Measurements of the detector on exposures of a CCD."""
    return _master(Kind.SUMMARY, recipe, period, f"c{ccdid:02d}", f"c{ccdid:02d}_detector.parquet")


def detector_page_ref(recipe: recipes.DetectorRecipe, period: Period) -> ProductRef:
    """Page about the detector in a period."""
    return _master(Kind.REPORT, recipe, period, "", "detector.html")


def _master(kind: Kind, recipe: object, period: Period, part: str, name: str) -> ProductRef:
    file_name = f"ztfin2p3_{period_name(period)}_000000_{name}"
    return ProductRef(kind, recipes.digest(recipe), f"{period}/{part}".rstrip("/"), file_name)
