"""Products that are made of the measurements of a period: the star table and what is fitted to it."""

from __future__ import annotations

from datetime import date

from ztf_in2p3 import recipes
from ztf_in2p3.identifiers import Filter
from ztf_in2p3.periods import Period
from ztf_in2p3.products.address import Kind, ProductRef
from ztf_in2p3.products.names import period_name


def star_table_ref(recipe: recipes.StarTableRecipe, period: Period, filter: Filter, partition: str) -> ProductRef:
    """A partition: ``n<order>_<pixel>`` of the nested HEALPix scheme, or ``p<number>`` of an imported table."""
    return fitted_ref(Kind.STAR_TABLE, recipe, period, filter, partition, f"{partition}_stars.parquet")


def star_index_ref(recipe: recipes.StarTableRecipe, period: Period, filter: Filter) -> ProductRef:
    """What the partitions of a filter and period are."""
    return fitted_ref(Kind.STAR_INDEX, recipe, period, filter, "index", "starindex.parquet")


def star_names_ref(recipe: recipes.StarTableRecipe, period: Period, filter: Filter) -> ProductRef:
    """What an imported table calls its stars and exposures."""
    return fitted_ref(Kind.STAR_NAMES, recipe, period, filter, "names", "starnames.parquet")


def starflat_ref(recipe: recipes.SequenceRecipe, night: date, filter: Filter) -> ProductRef:
    """Parameters."""
    return fitted_ref(Kind.STARFLAT, recipe, Period.of(night), filter, "parameters", "starflat.parquet")


def starflat_map_ref(recipe: recipes.SequenceRecipe, night: date, filter: Filter) -> ProductRef:
    """Response map of a starflat, ready to apply."""
    return fitted_ref(Kind.STARFLAT_MAP, recipe, Period.of(night), filter, "map", "starflatmap.parquet")


def starflat_residuals_ref(recipe: recipes.SequenceRecipe, night: date, filter: Filter) -> ProductRef:
    """Residuals of a starflat."""
    return fitted_ref(Kind.STARFLAT_RESIDUALS, recipe, Period.of(night), filter, "residuals", "starflatres.parquet")


def survey_ref(kind: Kind, recipe: recipes.SurveyRecipe, period: Period, filter: Filter) -> ProductRef:
    """One of the products of the fit of a survey."""
    return fitted_ref(kind, recipe, period, filter, "survey", f"{kind}.parquet")


def survey_figure_ref(recipe: recipes.SurveyRecipe, period: Period, filter: Filter, name: str) -> ProductRef:
    """Figure of fitted zero points."""
    return fitted_ref(Kind.FIGURE, recipe, period, filter, f"ubercal-{name}", f"ubercal-{name}.png")


def starflat_figure_ref(recipe: recipes.SequenceReportRecipe, period: Period, filter: Filter, name: str) -> ProductRef:
    """Figure of a starflat."""
    return fitted_ref(Kind.FIGURE, recipe, period, filter, name, f"starflat_{name}.png")


def psf_figure_ref(recipe: recipes.PsfReportRecipe, period: Period, filter: Filter, name: str) -> ProductRef:
    """Figure of the PSFs of a period."""
    return fitted_ref(Kind.FIGURE, recipe, period, filter, f"psf-{name}", f"psf-{name}.png")


def fitted_ref(kind: Kind, recipe: object, period: Period, filter: Filter, part: str, name: str) -> ProductRef:
    """Figure of a filter and period; `name` ends the file's."""
    file_name = f"ztfin2p3_{period_name(period)}_000000_{filter}_{name}"
    return ProductRef(kind, recipes.digest(recipe), f"{period}/{filter}/{part}", file_name)
