"""A simulated survey on disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from prefect.logging import get_run_logger

from tasks.runtime.policies import query_task
from tasks.runtime.progress import arrivals
from tasks.runtime.settings import cores
from ztf_in2p3.camera import ZTF
from ztf_in2p3.identifiers import SKY_FILTERS, CcdExposure, Filter
from ztf_in2p3.periods import Period
from ztf_in2p3.recipes import (
    CatalogueRecipe,
    GaiaColours,
    LightCurveRecipe,
    PsfCatalogueRecipe,
    QuadrantRecipe,
    SequenceRecipe,
    StarflatRecipe,
    StarTableRecipe,
    SurveyRecipe,
    UbercalRecipe,
    digest,
)
from ztf_in2p3.simulate import follow
from ztf_in2p3.simulate.exposures import NightPlan, real_size_night, tiny_night
from ztf_in2p3.simulate.nights import dithered_night, survey_nights
from ztf_in2p3.simulate.sky import COLOUR_TERMS, Sky
from ztf_in2p3.simulate.survey import simulate_survey

REAL_SIZE_CCD = 6
"""The CCD that the demonstration simulates at real size."""
RECIPE = CatalogueRecipe(QuadrantRecipe(tolerance_days=30))
"""Recipe of the demonstration's catalogues: one night's masters serve the month."""
NIGHT, SEQUENCE, MONTH = date(2019, 4, 5), date(2019, 4, 6), (date(2019, 4, 9), date(2019, 4, 19), date(2019, 4, 29))
SEQUENCE_CCDS, MONTH_CCDS = tuple(range(5, 13)), (6, 7, 10, 11)
"""Enough of the camera to see what must be seen, in a minute."""
FOLLOWED = date(2019, 5, 2)
"""First night that follows the supernova, after the month of the survey: its period must hold none of these."""
FOLLOWED_FILTERS = (Filter.ZG, Filter.ZR)
N_QUIET, N_ACTIVE = 8, 12
"""Exposures in each filter before the supernova explodes, and after."""
TOLERANCE_DAYS = 150
"""Days between the nights that follow the supernova and that of the masters."""


@dataclass(frozen=True, slots=True)
class Demonstration:
    """What is simulated, and what is made of it besides a night."""

    plans: tuple[NightPlan, ...]
    """The first is the night that is reduced and reported, and whose masters serve the others."""
    sequences: tuple[str, ...] = ()
    """Periods of dithered exposures, for a starflat."""
    months: tuple[str, ...] = ()
    """Periods of overlapping fields, for zero points."""

    @property
    def night(self) -> NightPlan:
        """Plan of the night that is reduced first."""
        return self.plans[0]

    @property
    def filters(self) -> list[str]:
        """Filters of that night."""
        return sorted({str(frame.exposure.filter) for frame in self.night.objects})

    @property
    def later(self) -> tuple[str, ...]:
        """Periods that are reduced after that night."""
        return (*self.sequences, *self.months)


def demonstration_of(camera: str) -> Demonstration:
    """All CCDs of the tiny camera, a sequence and a month; or a night of one of ZTF's CCDs."""
    if camera == ZTF.name:
        return Demonstration((real_size_night(REAL_SIZE_CCD),))
    # More bright stars than usual: what a starflat needs.
    night = tiny_night(NIGHT, n_bias=6, n_flat=3, sky=Sky(slope=0.1, faint=18.5))
    sequence = dithered_night(night, SEQUENCE, Filter.ZR, n_exposure=10, spread=0.6, ccdids=SEQUENCE_CCDS)
    month = survey_nights(night, MONTH, Filter.ZR, ccdids=MONTH_CCDS)
    return Demonstration((night, sequence, *month), (str(Period.of(SEQUENCE)),), (str(Period(MONTH[0], MONTH[-1])),))


def sky_exposures(plans: Iterable[NightPlan]) -> set[CcdExposure]:
    """CCD exposures of the sky that are simulated: each should have a catalogue."""
    return {CcdExposure(frame.exposure, ccdid) for plan in plans for frame in plan.objects for ccdid in plan.ccdids}


def sequence_recipe(catalogue: CatalogueRecipe) -> SequenceRecipe:
    """Starflat recipe: superpixels as large as so few stars need, and no error floor, for nothing is unknown here."""
    stars = StarTableRecipe(catalogue, radius=5.0, faint=19.0)
    return SequenceRecipe(stars, StarflatRecipe(model="color", superpixels=2, colour_cells=1, error_floor=0.0003))


def survey_recipe(catalogue: CatalogueRecipe) -> SurveyRecipe:
    """Recipe of the zero points: magnitudes corrected with the starflat."""
    sequence = sequence_recipe(catalogue)
    stars = replace(sequence.stars, starflat=digest(sequence), observations=2)
    return SurveyRecipe(
        stars, UbercalRecipe(error_floor=0.0003), sky_order=9
    )  # cells as small as the camera's quadrants


def supernova_nights(plan: NightPlan) -> tuple[list[NightPlan], int]:
    """Nights of the supernova of `ztf_in2p3/simulate/targets.toml`, detrended with the flats of `plan`, and its CCD."""
    _, nights, _ = follow.follow(
        plan, FOLLOWED, filters=FOLLOWED_FILTERS, n_quiet=N_QUIET, n_active=N_ACTIVE, peak=18.0, host=17.0
    )
    return nights, follow.QUADRANT.ccdid


def tolerant(recipe: CatalogueRecipe) -> CatalogueRecipe:
    """Masters of one night serve all of these."""
    return replace(recipe, quadrant=replace(recipe.quadrant, tolerance_days=TOLERANCE_DAYS))


def light_curve_recipe(recipe: CatalogueRecipe) -> LightCurveRecipe:
    """Recipe of light curves in the simulated survey, whose stars have magnitudes of their own."""
    zg, zr, zi = (tuple(COLOUR_TERMS[filter]) for filter in SKY_FILTERS)
    stars = PsfCatalogueRecipe(quadrant=tolerant(recipe).quadrant, reference=recipe.reference)
    return LightCurveRecipe(stars, gaia=GaiaColours(zg, zr, zi))


@query_task
def simulate(plans: Sequence[NightPlan], folder: str, workers: int | None) -> None:
    """Write what is missing of some nights' files."""
    count = cores() if workers is None else max(workers, 1)
    n_ccd = sum(len(plan.ccd_exposures) for plan in plans)
    get_run_logger().info("simulating %d CCD exposures of %d nights in %s", n_ccd, len(plans), folder)
    with arrivals("simulation", n_ccd) as arrived:
        written = simulate_survey(
            plans, Path(folder), workers=count, progress=lambda n_done, _: arrived.reached(n_done)
        )
    get_run_logger().info("%d CCD exposures, %d files written to %s", n_ccd, written, folder)
