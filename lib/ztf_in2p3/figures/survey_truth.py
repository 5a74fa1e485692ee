"""Zero points of a survey beside the truth it was simulated from."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from ztf_in2p3.figures.sheet import Drawn, Sheet
from ztf_in2p3.figures.starflat_truth import Compared, exposures_of, plot_compared, pointing_plane, without
from ztf_in2p3.identifiers import Quadrant
from ztf_in2p3.products import Kind
from ztf_in2p3.simulate.airmass import airmass
from ztf_in2p3.simulate.truth import Truth
from ztf_in2p3.simulate.wcs import axis_position, centre_pixel, field_position
from ztf_in2p3.tables.column import numbers


def compare_survey(table: pa.Table, truth: Truth, radius: float) -> tuple[Compared, Compared]:
    """Zero points (columns of `ztf_in2p3.ubercal.tables.ZERO_POINTS`) beside the injected ones, extinction included.

    The first by quadrant and exposure; the second the means of the exposures, over all their quadrants.  A constant
    and a plane over the sky, which the stars' magnitudes take up, are taken out of both; so is a pattern of the
    quadrants that is the same in all exposures: what the starflat left.

    Parameters
    ----------
    radius
        Radius of the aperture, pixels.
    """
    value, sigma = 1e3 * numbers(table, "zero_point"), 1e3 * numbers(table, "sigma")
    known = np.isfinite(value) & (sigma > 0) & (numbers(table, "component") == 0)
    value, sigma = value[known], sigma[known]
    exposure, rcid = (table[name].to_numpy()[known] for name in ("exposure", "rcid"))
    frames = exposures_of(truth)
    true, ra, dec = (np.empty(len(value)) for _ in range(3))
    for number in np.unique(exposure):
        frame, on = frames[int(number)], exposure == number
        plan = truth.plan_of(frame.exposure)
        at = [
            [float(w) for w in field_position(plan, frame, Quadrant.of_rcid(int(q)), *centre_pixel(plan.camera))]
            for q in rcid[on]
        ]
        air = airmass(np.array(at)[:, 0], np.array(at)[:, 1], frame.mjd)
        true[on] = 1e3 * (truth.zero_point(frame.exposure, radius) + frame.extinction * (air - 1))
        ra[on], dec[on] = axis_position(plan, frame)
    plane = pointing_plane(ra, dec)
    quadrants = (rcid[:, None] == np.unique(rcid)[1:]).astype(float)
    quadrant_offsets = without(np.hstack([plane, quadrants]), value, true, sigma)
    return quadrant_offsets, _means(quadrant_offsets, exposure)


def _means(compared: Compared, exposure: np.ndarray) -> Compared:
    """Weighted means of each exposure; three of them are taken up by the plane."""
    exposures, at = np.unique(exposure, return_inverse=True)
    weight = compared.sigma**-2.0
    total = np.bincount(at, weight)
    fitted, true = (np.bincount(at, weight * values) / total for values in (compared.fitted, compared.true))
    return Compared(fitted, true, np.asarray(total**-0.5, np.float64), len(exposures) - 3)


def draw_survey_truth(sheet: Sheet) -> Drawn:
    """Fitted zero points beside the injected ones."""
    compared, means = compare_survey(sheet.table(Kind.ZERO_POINTS), sheet.required_truth, sheet.recipe.stars.radius)
    words = {"quadrants": compared.told(), "exposures": means.told()}
    return Drawn(plot_compared(compared, means, "zero point"), words)
