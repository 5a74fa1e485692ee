"""Zero points beside the truth: nothing is left of what was injected, but for the noise."""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from ztf_in2p3.figures.survey_truth import compare_survey
from ztf_in2p3.identifiers import CcdExposure, Filter
from ztf_in2p3.simulate.exposures import tiny_night
from ztf_in2p3.simulate.nights import survey_nights
from ztf_in2p3.simulate.truth import Truth

FIRST = tiny_night(ccdids=(3, 6), filters=(Filter.ZR,), n_bias=0, n_led=1, n_flat=1, n_object=0, n_field=1)
MONTH = survey_nights(FIRST, [date(2019, 4, 9), date(2019, 4, 19)], Filter.ZR)
RADIUS, SIGMA = 12.0, 0.002


@pytest.fixture(scope="module")
def truth():
    return Truth(FIRST, tuple(MONTH))


@pytest.fixture(scope="module")
def zero_points(truth):
    """From the stars' true fluxes, quadrant by quadrant, with noise, a step from quadrant to quadrant, and a plane."""
    draw, rows = np.random.default_rng(0), []
    step = draw.normal(0, 0.005, 64)
    for plan in MONTH:
        for frame in plan.objects:
            lost = -2.5 * np.log10(truth.enclosed(frame.exposure, RADIUS))
            for ccdid in plan.ccdids:
                stars = truth.stars(CcdExposure(frame.exposure, ccdid)).to_pandas()
                for qid, some in stars.groupby("qid"):
                    rcid = 4 * (ccdid - 1) + qid - 1
                    response = truth.response(Filter.ZR, rcid, some.x.to_numpy(), some.y.to_numpy())
                    offsets = -2.5 * np.log10(some.flux) - some.magnitude - response + lost
                    plane = 0.3 * frame.ra - 0.2 * frame.dec
                    value = np.median(offsets) + step[rcid] + plane + SIGMA * draw.normal()
                    rows.append({"exposure": int(frame.exposure.filefracday), "rcid": rcid, "zero_point": value,
                                 "sigma": SIGMA, "component": 0})  # fmt: skip
    rows.append(rows[0] | {"zero_point": float("nan"), "component": -1})
    return pa.Table.from_pylist(rows)


def test_quadrants_and_exposures_agree_with_the_truth_within_their_errors(zero_points, truth):
    each, means = compare_survey(zero_points, truth, RADIUS)
    assert len(each.true) == zero_points.num_rows - 1 == 2 * 4 * 2 * 4
    assert each.freedom == 64 - 3 - 7
    assert each.pull_scatter == pytest.approx(1, abs=4 / np.sqrt(2 * each.freedom))
    # 5" of pointing, unknown to the plane above, are 0.4 mmag of it; the noise of a mean of eight is 0.7.
    assert np.sum(means.pull**2) < means.freedom + 4 * np.sqrt(2 * means.freedom) + 8 * 0.6**2
    assert each.true.std() > 10 * 1e3 * SIGMA
