"""Fault x fit: what comes of zero points and response maps when the measurements are spoilt."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from tests.lib.detrend.bad_frames import REFUSED, RIGHT, SILENT, Cell
from ztf_in2p3.camera import TINY
from ztf_in2p3.errors import BadData
from ztf_in2p3.fit.sources import TableSource
from ztf_in2p3.fit.superpixels import Superpixels
from ztf_in2p3.recipes import RobustRecipe, StarflatRecipe, UbercalRecipe
from ztf_in2p3.simulate.measurements import Effects, Pointings, Truth, dithered_sequence, star_measurements, survey
from ztf_in2p3.simulate.table_faults import FLAGGED, SURVEY_FAULTS, TABLE_FAULTS, TableFault, spoilt_table
from ztf_in2p3.starflat.model import fit_starflat
from ztf_in2p3.starflat.tables import map_quality
from ztf_in2p3.ubercal.lack_of_fit import lack_of_fit
from ztf_in2p3.ubercal.model import fit_ubercal
from ztf_in2p3.ubercal.tables import summary

LARGEST_SURVEY, LARGEST_MAP, FURTHEST = 1.5, 1.2, 5.5
"""Rms of (value - truth) / error of what serves, and its largest.  Sound tables have 0.9 to 1.1.  All zero points of a
field share its level against the other field, which may be two of its standard deviations off: 1.4 then."""
SURVEY = Effects(quadrant_zero_point=0.004, map=0, colour_map=0, airmass=0, outliers=0.01, variables=0.01)
MAP_CELLS = 2


@dataclass(frozen=True)
class Measurements:
    """A sound table with its truth."""

    pointings: Pointings
    table: pa.Table
    truth: Truth


def survey_table(seed: int = 1) -> Measurements:
    pointings = survey(2, 10, TINY, seed=seed)
    return Measurements(pointings, *star_measurements(TINY, pointings, 2500, SURVEY, seed=seed))


def sequence_table(seed: int = 1) -> Measurements:
    pointings = dithered_sequence(16, TINY, seed=seed)
    effects = Effects(map_cells=MAP_CELLS, colour_map=0, airmass=0, outliers=0.01, variables=0.01)
    return Measurements(pointings, *star_measurements(TINY, pointings, 2500, effects, seed=seed))


def outcome(pull: np.ndarray, reason: str, largest: float) -> tuple[str, float]:
    """How the pulls of what serves turned out, and their scatter."""
    pull = pull[np.isfinite(pull)]
    scatter = float(np.sqrt(np.mean(pull**2)))
    right = scatter < largest and np.max(np.abs(pull), initial=0) < FURTHEST
    return (FLAGGED if reason else RIGHT) if right else SILENT, scatter


def survey_cell(sound: Measurements, name: str, fault: TableFault, seed: int = 1) -> Cell:
    """Zero points of a survey; those serve that are not flagged, of exposures that count as photometric."""
    table, moved = spoilt_table(sound.table, fault, seed)
    try:
        solved = fit_ubercal(table, TINY, UbercalRecipe())
    except BadData as error:
        return Cell("ubercal", name, fault.truth, REFUSED, np.nan, str(error))
    lack, zero = lack_of_fit(solved, TableSource(table)), solved.zero_points
    order = np.argsort(sound.pointings.exposure)
    names = sound.pointings.exposure[order]
    number = np.searchsorted(names, zero.exposure)
    true = (sound.truth.zero_point[:, None] + sound.truth.quadrant_zero_point)[order] + moved
    off = zero.value - true[number, zero.rcid]
    serving = (zero.flag == 0) & solved.exposures.photometric[np.searchsorted(solved.exposures.exposure, zero.exposure)]
    for part in range(zero.component.max() + 1):
        inside = zero.component == part
        off[inside] -= np.median(off[inside & serving]) if (inside & serving).any() else np.nan
    about = summary(solved, lack)
    reasons = [f"{about['lack_of_fit']}"] if about["lack_of_fit"] != "none" else []
    clouded = int((~solved.exposures.photometric).sum())
    reasons += [f"{clouded} exposures are not photometric"] if clouded else []
    flagged = int((zero.flag != 0).sum())
    reasons += [f"{flagged} zero points are flagged"] if flagged else []
    reasons += [f"{solved.fit.intake.repeated} rows repeated"] if solved.fit.intake.repeated else []
    reasons += [] if solved.fit.converged else ["not converged"]
    text = "; ".join(reasons)
    found, scatter = outcome((off / zero.sigma)[serving], text, LARGEST_SURVEY)
    if found == SILENT and about["lack_of_fit"] != "none":
        found = FLAGGED
    return Cell("ubercal", name, fault.truth, found, scatter, text or told(solved.fit))


def told(fit) -> str:
    """What a fit says of rows that it left out or of errors that it changed."""
    dropped = ", ".join(f"{count} {reason}" for reason, count in fit.intake.dropped.items() if count)
    return "; ".join(filter(None, [dropped, "" if fit.errors.is_unchanged else "errors changed",
                                   f"{len(fit.rejected)} rows rejected"]))  # fmt: skip


def sequence_cell(sound: Measurements, name: str, fault: TableFault, seed: int = 1) -> Cell:
    """Response map of a dithered sequence, its plane taken out; cells serve that are not flagged."""
    table, _ = spoilt_table(sound.table, fault, seed)
    recipe = StarflatRecipe(superpixels=MAP_CELLS, model="zp")
    try:
        made = fit_starflat(table, TINY, recipe)
    except BadData as error:
        return Cell("starflat", name, RIGHT, REFUSED, np.nan, str(error))
    good = made.fit["map"].flag == 0
    u, v = Superpixels(TINY, MAP_CELLS).centres()
    shapes = np.column_stack([np.ones(len(u)), u / u.max(), v / v.max()])
    off, sigma = made.map.ravel() - sound.truth.map.ravel(), made.map_sigma.ravel()
    weight = np.where(good & np.isfinite(off), 1 / sigma, 0.0)
    plane = np.linalg.lstsq(shapes * weight[:, None], np.nan_to_num(off) * weight, rcond=None)[0]
    quality = map_quality(made)
    reasons = [f"{int((~good).sum())} superpixels are flagged"] if not good.all() else []
    reasons += [] if quality["good"] else ["the map corrects nothing"]
    reasons += [f"{made.fit.intake.repeated} rows repeated"] if made.fit.intake.repeated else []
    text = "; ".join(reasons)
    found, scatter = outcome(((off - shapes @ plane) / sigma)[good], text, LARGEST_MAP)
    if found == SILENT and not quality["good"]:
        found = FLAGGED
    return Cell("starflat", name, RIGHT, found, scatter, text or told(made.fit))


def undithered_cell(seed: int = 1) -> Cell:
    """Five exposures within forty arcseconds."""
    still = dithered_sequence(5, TINY, seed=seed)
    offsets = np.random.default_rng(seed).uniform(-20, 20, (5, 2)) / TINY.pixel_scale
    still = replace(still, centre=offsets)
    table, _ = star_measurements(TINY, still, 1500, Effects(map_cells=MAP_CELLS, colour_map=0, airmass=0), seed=seed)
    recipe = StarflatRecipe(superpixels=MAP_CELLS, model="zp", robust=RobustRecipe(draws=8))
    try:
        fit_starflat(table, TINY, recipe)
    except BadData as error:
        return Cell("starflat", "no dithers", REFUSED, REFUSED, np.nan, str(error))
    return Cell("starflat", "no dithers", REFUSED, SILENT, np.nan, "")


def is_acceptable(cell: Cell) -> bool:
    """Whether a product is right, or flagged or refused where it has to be; to flag what is right does no harm."""
    return cell.outcome == cell.expected or (cell.expected == RIGHT and cell.outcome == FLAGGED)


def table_cells(seed: int) -> list[Cell]:
    """All cells of one survey and one sequence."""
    months, night = survey_table(seed), sequence_table(seed)
    return [
        *(survey_cell(months, name, fault, seed) for name, fault in SURVEY_FAULTS.items()),
        *(sequence_cell(night, name, fault, seed) for name, fault in TABLE_FAULTS.items()),
        undithered_cell(seed),
    ]
