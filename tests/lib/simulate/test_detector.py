"""Each effect of the detector does, pixel by pixel, what its formula says."""

from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztf_in2p3.identifiers import Quadrant
from ztf_in2p3.simulate import detector
from ztf_in2p3.simulate.detector import Effects
from ztf_in2p3.simulate.seeds import generator

SHAPE = (40, 30)


def draw():
    return generator(1, "test")


def test_vignetting_falls_with_the_distance_from_the_axis():
    u, v, radius = np.linspace(-900, 900, 7)[None, :], np.linspace(-800, 800, 5)[:, None], 1300.0
    light = detector.vignetting(u, v, radius)
    for i in range(5):
        for j in range(7):
            rho = np.hypot(u[0, j], v[i, 0]) / radius
            assert light[i, j] == pytest.approx(1 - 0.12 * rho**2 - 0.05 * rho**4, abs=1e-14)
    assert detector.vignetting(0.0, 0.0, radius) == 1


def test_leds_differ_from_the_sky_and_from_each_other_by_a_few_percent():
    u, v = np.meshgrid(np.linspace(-700, 700, 40), np.linspace(-700, 700, 40))
    lamps = [detector.led_gradient(u, v, 1000.0, generator(7, "led", led)) for led in range(2, 14)]
    # Over twelve LEDs; a gradient's coefficients have 3 % standard deviation, so the spread over the square about 2 %.
    spreads = [lamp.std() for lamp in lamps]
    assert 0.01 < np.mean(spreads) < 0.04
    assert np.ptp([np.corrcoef(lamps[0].ravel(), lamp.ravel())[0, 1] for lamp in lamps[1:]]) > 0.5
    assert detector.led_gradient(0.0, 0.0, 1000.0, draw()) == 1


def test_pixels_differ_by_one_percent():
    response = detector.pixel_response((300, 300), draw())
    rough = np.diff(response, axis=1).std() / np.sqrt(2)
    # A standard deviation of n numbers is known to 1/sqrt(2n): five of those.
    assert rough == pytest.approx(0.01, rel=5 / np.sqrt(2 * response.size))
    assert response.mean() == pytest.approx(1, abs=5 * 0.01 / 300 + 1e-3)


@pytest.mark.parametrize("expected", [3.0, 400.0, 150_000.0])
def test_photons_are_counted_with_the_variance_of_poisson(expected):
    counted = detector.photon_noise(np.full((300, 300), expected), draw())
    n = counted.size
    assert counted.mean() == pytest.approx(expected, abs=5 * np.sqrt(expected / n))
    assert counted.var() == pytest.approx(expected, rel=5 * np.sqrt((2 + 1 / expected) / n))
    np.testing.assert_array_equal(counted, np.rint(counted))


def test_a_full_pixel_holds_no_more():
    charge = np.linspace(0, 500, SHAPE[0] * SHAPE[1]).reshape(SHAPE)
    held = detector.saturate(charge, 300.0)
    for i in range(SHAPE[0]):
        for j in range(SHAPE[1]):
            assert held[i, j] == (charge[i, j] if charge[i, j] < 300 else 300)


def test_bias_lies_between_30_and_130_adu_whatever_the_amplifier():
    for amplifier in range(64):
        pattern = detector.bias_pattern(SHAPE, generator(3, "bias", amplifier))
        assert pattern.min() > 30
        assert pattern.max() < 130
        assert np.ptp(pattern.mean(axis=0)) > 2  # columns differ
        assert np.ptp(pattern.mean(axis=1)) > 0.5  # and rows


def test_the_offset_drifts_as_a_cubic_of_a_few_adu():
    row = np.linspace(-1, 1, 500)
    for seed in range(20):
        drift = detector.overscan_drift(500, generator(seed, "drift"))
        fit = np.polynomial.Polynomial.fit(row, drift, 3)
        np.testing.assert_allclose(fit(row), drift, atol=1e-9)
        assert 1 < np.ptp(drift) < 20


def test_deferred_charge_decays_from_tens_or_hundreds_of_adu_to_nothing_in_the_last_columns():
    last = np.array([-5.0, 0.0, 300.0, 10_000.0, 58_000.0])
    charge = detector.deferred_charge(last, 30)
    for i, signal in enumerate(last):
        s = max(signal, 0)
        for j in range(30):
            assert charge[i, j] == pytest.approx((20 + 230 * s / (s + 10_000)) * 2.718281828459045 ** (-j / 2.5))
    assert charge[:, 0].min() >= 20
    assert charge[:, 0].max() <= 250
    assert charge[:, 25:].max() < 0.012  # a tenth of what the overscan must be known to


linearities = st.tuples(st.floats(-2e-11, -5e-12), st.floats(4e-7, 9e-7))


@given(linearities, st.floats(0, 65_000))
def test_the_published_correction_undoes_the_nonlinearity(constants, true):
    a, b = constants
    x = detector.measured(np.float64(true), a, b)
    assert x / (a * x**2 + b * x + 1) == pytest.approx(true, rel=1e-12, abs=1e-12)


@given(linearities)
def test_a_brighter_pixel_reads_more(constants):
    assert (np.diff(detector.measured(np.linspace(0, 65_000, 2000), *constants)) > 0).all()


def test_linearity_is_that_of_the_night():
    # Rows of the published table for ccd 1, qid 1; each holds from its date on.
    table = [line.split(",") for line in detector.LINEARITY_TABLE.read_text().splitlines() if line.startswith("1,1,0,")]
    dated = {line[3]: (float(line[4]), float(line[5])) for line in table}
    assert len(dated) == 3
    one = Quadrant(1, 1)
    assert detector.linearity_constants(one, date(2019, 10, 22)) == dated["2017-01-01"]
    assert detector.linearity_constants(one, date(2019, 10, 23)) == dated["2019-10-23"]
    assert detector.linearity_constants(one, date(2024, 1, 1)) == dated["2020-04-28"]
    with pytest.raises(ValueError, match="as early as 2016"):
        detector.linearity_constants(one, date(2016, 1, 1))


def test_numbers_are_whole_and_fit_in_sixteen_bits():
    adu = np.array([[-3.0, 0.4, 0.6], [1234.5001, 65_535.2, 90_000.0]])
    np.testing.assert_array_equal(detector.digitise(adu), [[0, 0, 1], [1235, 65_535, 65_535]])


def test_few_pixels_are_dead_or_hot():
    shape = (500, 500)
    # Drawn with replacement: at most the fraction, and few of 50 coincide.
    assert 0.9 * detector.DEAD_FRACTION < detector.dead_pixels(shape, draw()).mean() <= detector.DEAD_FRACTION
    rate = detector.hot_pixels(shape, draw())
    assert 0.8 * detector.HOT_FRACTION < (rate > 0).mean() <= detector.HOT_FRACTION
    assert rate[rate > 0].min() >= 20
    assert rate.max() <= 200


def test_a_perfect_detector_has_no_effect():
    assert not any(getattr(Effects.none(), name) for name in Effects.__dataclass_fields__)
    assert Effects.none(read_noise=True).read_noise
