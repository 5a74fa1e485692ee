"""Several nights make one survey: one detector, one sky, one set of lamps."""

from __future__ import annotations

import csv
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from ztf_in2p3.identifiers import CcdExposure, Filter
from ztf_in2p3.simulate import chain
from ztf_in2p3.simulate.exposures import NightPlan, tiny_night
from ztf_in2p3.simulate.nights import dithered_night, plans_from_json, plans_to_json, survey_nights
from ztf_in2p3.simulate.sky import Sky, separation
from ztf_in2p3.simulate.survey import simulate_survey
from ztf_in2p3.simulate.truth import Truth

CCDS = (3, 6)
FIRST = tiny_night(ccdids=CCDS, filters=(Filter.ZR,), n_bias=1, n_led=2, n_flat=1, n_object=1, n_field=1)
SEQUENCE = dithered_night(FIRST, date(2019, 4, 6), Filter.ZR, n_exposure=12)
MONTH = survey_nights(FIRST, [date(2019, 4, 9), date(2019, 4, 29)], Filter.ZR, ccdids=CCDS)


@pytest.fixture(scope="module")
def few():
    """Two nights of a CCD and an exposure each."""
    first = replace(FIRST, ccdids=(3,), biases=(), objects=FIRST.objects)
    later = replace(SEQUENCE, ccdids=(3,), objects=SEQUENCE.objects[:1], calibration=first)
    return first, later


@pytest.fixture(scope="module")
def tree(few, tmp_path_factory):
    folder = tmp_path_factory.mktemp("nights")
    simulate_survey(few, folder)
    return folder


def test_plans_survive_being_written_down():
    plans = [FIRST, SEQUENCE, *MONTH]
    assert plans_from_json(plans_to_json(plans)) == plans
    assert NightPlan.from_json(SEQUENCE.to_json()) == SEQUENCE


@pytest.mark.parametrize(
    ("plans", "message"),
    [
        ([], "no night"),
        ([FIRST, replace(FIRST, sky=Sky(density=100.0))], "different cameras, seeds or skies"),
        ([FIRST, replace(SEQUENCE, seed=1)], "different cameras, seeds or skies"),
        ([FIRST, FIRST], "two plans of one night"),
    ],
    ids=["none", "two skies", "two seeds", "twice"],
)
def test_what_makes_no_survey_is_refused(plans, message):
    with pytest.raises(ValueError, match=message):
        plans_to_json(plans)


def test_the_tree_of_two_nights_holds_both(few, tree):
    for name, n in (("raw", 3 + 1), ("sci", 2 * 4)):  # two flats and an exposure, another exposure
        with (tree / f"meta/{name}.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == n
        assert {row["filefracday"][:8] for row in rows} == {"20190405", "20190406"}
    assert len(list(tree.rglob("*.fits.fz"))) == 4
    assert simulate_survey(few, tree) == 0
    with pytest.raises(ValueError, match="another simulated night"):
        simulate_survey(few[:1], tree)


def test_a_night_without_flats_is_detrended_with_the_others(few, tree):
    truth = Truth.load(tree)
    assert truth.nights == few
    own = Truth(replace(few[1], calibration=None))  # then the archive's first lamp is taken
    ccd = CcdExposure(few[1].objects[0].exposure, 3)
    whole, alone = (np.nanmedian(one.detrended(ccd, 2) / one.sky(ccd, 2)) for one in (truth, own))
    assert whole == pytest.approx(alone, abs=0.02)  # mostly sky, and each divided by its own
    x, y = np.array([20.0, 220.0]), np.array([30.0, 230.0])
    np.testing.assert_array_equal(
        truth.response(Filter.ZR, 9, x, y), Truth(few[0]).response(Filter.ZR, 9, x, y)
    )  # one response, whichever night asks
    assert np.abs(truth.response(Filter.ZR, 9, x, y) - own.response(Filter.ZR, 9, x, y)).max() > 1e-3
    # What the stars of the later night show is that response.
    stars = truth.stars(ccd).to_pandas().query("qid == 2")
    expected = truth.response(Filter.ZR, 9, stars.x.to_numpy(), stars.y.to_numpy())
    np.testing.assert_allclose(-2.5 * np.log10(stars.scale), expected, atol=1e-12)


def test_true_magnitudes_response_and_zero_point_make_the_true_flux(few):
    truth, frame = Truth(few[0], few[1:]), few[1].objects[0]
    ccd = CcdExposure(frame.exposure, 3)
    stars = truth.stars(ccd).to_pandas().query("qid == 1")
    response = truth.response(Filter.ZR, 8, stars.x.to_numpy(), stars.y.to_numpy())
    radius = 12.0
    lost = -2.5 * np.log10(truth.enclosed(frame.exposure, radius))  # beyond it, by the profile's own formula
    total = truth.zero_point(frame.exposure, radius) - lost
    measured = stars.magnitude + total + response + frame.extinction * (stars.airmass - 1)
    np.testing.assert_allclose(-2.5 * np.log10(stars.flux), measured, atol=2e-5)  # pixels blur the profile a little
    places = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 400))
    fraction = truth.aperture_fractions(frame.exposure, *places, [4.0]).mean()
    # The mean over 400 places in a pixel, of fractions that scatter by 0.2 mmag.
    lost = truth.zero_point(frame.exposure, 4.0) - total
    assert lost == pytest.approx(-2.5 * np.log10(fraction), abs=4e-5)


def test_an_exposure_of_another_night_is_named(few):
    with pytest.raises(ValueError, match=r"20190409.*no night of the survey"):
        Truth(*few[:1]).stars(CcdExposure(MONTH[0].objects[0].exposure, 3))


def test_the_detector_is_the_same_every_night():
    for quadrant in FIRST.camera.quadrants[8:12]:
        assert {chain.amplifier(plan, quadrant) for plan in (FIRST, SEQUENCE, *MONTH)} == {
            chain.amplifier(FIRST, quadrant)
        }
        np.testing.assert_array_equal(chain.bias_pattern(FIRST, quadrant), chain.bias_pattern(MONTH[1], quadrant))


def test_a_dithered_sequence_covers_small_and_large_steps_in_all_directions():
    camera, objects = FIRST.camera, SEQUENCE.objects
    ra, dec = np.array([frame.ra for frame in objects]), np.array([frame.dec for frame in objects])
    centre = np.degrees(np.arctan2(np.mean(np.sin(np.radians(ra))), np.mean(np.cos(np.radians(ra))))) % 360
    step = separation(centre, dec.mean(), ra, dec)
    half_width = (4 * camera.shape[1] + 1.5 * camera.gap[1]) * camera.pixel_scale / 3600
    assert step.min() < 0.25 * half_width
    assert 0.8 * half_width < step.max() < 2 * half_width
    quarters = {(bool(a > centre), bool(d > dec.mean())) for a, d in zip(ra, dec, strict=True)}
    assert len(quarters) == 4
    assert max(frame.airmass for frame in objects) < 1.05  # near the zenith


def test_a_sequence_in_the_west_looks_through_more_and_more_air():
    west = dithered_night(FIRST, date(2019, 4, 6), Filter.ZR, n_exposure=12, hours=2.0, hour_angle=40.0)
    first, *_, last = west.objects
    assert last.airmass > first.airmass + 0.15


def test_fields_of_the_month_overlap_and_some_exposures_are_grey():
    months = survey_nights(FIRST, [date(2019, 4, day) for day in range(9, 29, 2)], Filter.ZR, ccdids=CCDS, grey=0.3)
    frames = [frame for plan in months for frame in plan.objects]
    assert len(frames) == 4 * 10
    places = {}
    for frame in frames:
        places.setdefault(frame.exposure.field, []).append((frame.ra, frame.dec))
    assert len(places) == 4
    centres = [np.mean(some, axis=0) for some in places.values()]
    extent = 2 * 256 * FIRST.camera.pixel_scale / 3600  # a CCD: no field is further from the next than it is wide
    nearest = [min(float(separation(*a, b[:1], b[1:])[0]) for b in centres if b is not a) for a in centres]
    assert max(nearest) < 2 * extent
    faint = sum(frame.zero_point < 26.3 - 0.15 for frame in frames)  # the others scatter by 0.02
    assert 3 <= faint <= 24  # of 40 at 0.3: within 4 sigma of 12
