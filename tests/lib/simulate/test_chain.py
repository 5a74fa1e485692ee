"""The effects in their order, against a loop over pixels that knows nothing of arrays."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from ztf_in2p3.camera import TINY, Camera, flip_readout
from ztf_in2p3.identifiers import CcdExposure, Filter, Quadrant
from ztf_in2p3.simulate import chain, detector
from ztf_in2p3.simulate.detector import Effects
from ztf_in2p3.simulate.exposures import real_size_night, tiny_night
from ztf_in2p3.simulate.raw import read_out_ccd
from ztf_in2p3.simulate.seeds import generator
from ztf_in2p3.simulate.sky import Sky

TOY = Camera("toy", (24, 20), 30, gap=(6, 4), pixel_scale=1.012, gain=6.0, read_noise=9.0, saturation=58_600.0)
NOISELESS = replace(Effects(), read_noise=False, photon_noise=False, digitisation=False)


def night(camera=TOY, effects=NOISELESS, **how):
    how = {"ccdids": (3,), "filters": (Filter.ZR,), "n_bias": 2, "n_flat": 2, "n_object": 2, "n_field": 1} | how
    return replace(tiny_night(effects=effects, **how), camera=camera)


def readout_position(qid, row, column, rows, columns):
    """Where a pixel comes in readout, by hand: columns reversed for qid 2 and 3, rows for 3 and 4."""
    return (rows - 1 - row if qid in (3, 4) else row), (columns - 1 - column if qid in (2, 3) else column)


@pytest.mark.parametrize("qid", [1, 2, 3, 4])
def test_a_frame_is_what_a_loop_over_its_pixels_makes(qid):
    plan, quadrant = night(), Quadrant(3, qid)
    frame = plan.flats[0]
    rows, columns = TOY.shape
    charge = np.random.default_rng(qid).uniform(0, 250_000, TOY.shape).astype(np.float32)
    image, overscan = chain.read_out(plan, frame, quadrant, charge)

    stage = chain.amplifier(plan, quadrant)
    a, b = detector.linearity_constants(quadrant, date(2019, 4, 5))
    pattern = detector.bias_pattern(TOY.shape, generator(plan.seed, "bias pattern", quadrant.rcid))
    key = int(frame.exposure.filefracday), quadrant.rcid
    drift = detector.overscan_drift(rows, generator(plan.seed, "drift", *key))

    def reading(true, row):
        x = true
        for _ in range(50):  # fixed point of x = true (a x^2 + b x + 1)
            x = true * (a * x * x + b * x + 1)
        return x + stage.offset + drift[row]

    for row in range(rows):
        last = None
        for column in range(columns):
            r, c = readout_position(qid, row, column, rows, columns)
            true = float(charge[row, column]) / stage.gain + float(pattern[r, c])
            # float32 numbers of 40 000 ADU have steps of 0.004.
            assert image[row, column] == pytest.approx(reading(true, r), abs=0.02)
            last = true if c == columns - 1 else last
        for column in range(30):
            r, c = readout_position(qid, row, column, rows, 30)
            deferred = (20 + 230 * last / (last + 10_000)) * np.exp(-c / 2.5)
            assert overscan[row, column] == pytest.approx(reading(deferred, r), abs=0.01)


@pytest.mark.parametrize("qid", [1, 2, 3, 4])
def test_the_first_overscan_column_read_is_the_last_one_stored_in_qid_2_and_3(qid):
    plan = night()
    _, overscan = read_out_ccd(plan, CcdExposure(plan.flats[0].exposure, 3))[qid]
    profile = np.median(overscan, axis=0)
    assert profile.argmax() == (29 if qid in (2, 3) else 0)
    assert profile.max() - profile.min() > 100


def test_charge_of_a_flat_is_light_times_response():
    plan, quadrant = night(), Quadrant(3, 2)
    frame = plan.flats[1]
    charge = chain.expected_charge(plan, frame, quadrant)
    response = chain.pixel_response(plan, quadrant)
    dark = chain.dark_rate(plan, quadrant)
    radius = chain.field_radius(TOY)
    for row in range(TOY.shape[0]):
        for column in range(TOY.shape[1]):
            u, v = TOY.focal_plane(quadrant, column, row)
            lamp = detector.led_gradient(u, v, radius, generator(plan.seed, "led", frame.led))
            light = 6.0 * frame.level_adu * lamp * detector.vignetting(u, v, radius)
            expected = light * response[row, column] + 10 * dark[row, column]
            assert charge[row, column] == pytest.approx(expected, rel=1e-6)


def test_charge_of_a_field_is_sky_and_stars():
    plan, quadrant = night(camera=TINY, n_object=1), Quadrant(3, 2)
    frame = plan.objects[0]
    dark_sky = replace(plan, sky=replace(plan.sky, density=0.0))
    sky = chain.expected_charge(dark_sky, frame, quadrant)
    response, dark = chain.pixel_response(plan, quadrant), chain.dark_rate(plan, quadrant)
    for row, column in [(0, 0), (100, 7), (255, 239)]:
        share = detector.vignetting(*TINY.focal_plane(quadrant, column, row), chain.field_radius(TINY))
        expected = 6.0 * frame.sky_adu * share * response[row, column] + 30 * dark[row, column]
        assert sky[row, column] == pytest.approx(expected, rel=1e-6)
    stars = chain.expected_charge(plan, frame, quadrant) - sky
    placed = chain.placed_stars(plan, frame, quadrant)
    total = 0.0
    for x, y, adu in zip(placed.x, placed.y, placed.adu, strict=True):
        inside = -0.5 <= x < 239.5 and -0.5 <= y < 255.5
        total += 6.0 * adu * inside
    # Dimmed by vignetting and response (a few percent), by stars on the edge, and lit by those outside: 15 %.
    assert stars.sum(dtype=float) == pytest.approx(total, rel=0.15)


def test_variance_grows_with_the_mean_as_gain_and_read_noise_say():
    plan = night(camera=TINY, effects=replace(Effects(), nonlinearity=False, overscan_drift=False))
    for qid in (1, 4):
        quadrant = Quadrant(3, qid)
        stage = chain.amplifier(plan, quadrant)
        for frames in (plan.biases, plan.flats[:2]):
            pair = []
            for frame in frames:
                charge = chain.collected_charge(plan, frame, quadrant, chain.expected_charge(plan, frame, quadrant))
                pair.append(chain.read_out(plan, frame, quadrant, charge)[0].astype(float))
            # Structure common to the two frames leaves no trace in their difference.
            variance = np.var(pair[0] - pair[1]) / 2
            signal = np.mean(pair[0]) - stage.offset - chain.bias_pattern(plan, quadrant).mean(dtype=float)
            expected = max(signal, 0) / stage.gain + (stage.read_noise / stage.gain) ** 2
            assert variance == pytest.approx(expected, rel=5 * np.sqrt(2 / pair[0].size))


def test_amplifiers_differ_and_are_nominal_if_told_so():
    plan = night()
    gains = [chain.amplifier(plan, quadrant).gain for quadrant in TOY.quadrants]
    assert 0.05 < np.std(gains) < 0.2
    assert all(5.8 <= gain <= 6.2 for gain in gains)
    alike = replace(plan, effects=replace(plan.effects, gain_spread=False))
    assert {(chain.amplifier(alike, q).gain, chain.amplifier(alike, q).read_noise) for q in TOY.quadrants} == {
        (6.0, 9.0)
    }


def test_switching_an_effect_off_leaves_the_draws_of_the_others():
    usual = replace(Effects(), nonlinearity=False, digitisation=False, photon_noise=False, deferred_charge=False)
    plan, quadrant = night(effects=usual), Quadrant(3, 3)
    frame = plan.flats[0]

    def image(plan):
        return chain.read_out(plan, frame, quadrant, chain.expected_charge(plan, frame, quadrant))[0].astype(float)

    with_all = image(plan)
    flat_bias = replace(plan, effects=replace(usual, bias_pattern=False))  # but for hot pixels
    pattern = chain.bias_pattern(plan, quadrant) - chain.bias_pattern(flat_bias, quadrant)
    np.testing.assert_allclose(with_all - image(flat_bias), pattern, atol=0.02)
    without_drift = image(replace(plan, effects=replace(usual, overscan_drift=False)))
    drift = np.broadcast_to(chain.offset_drift(plan, frame, quadrant)[:, None], TOY.shape)
    np.testing.assert_allclose(with_all - without_drift, drift, atol=0.02)


@pytest.mark.parametrize("name", list(Effects.__dataclass_fields__))
def test_every_switch_does_something(name):
    # Bright enough to saturate, and enough pixels for a cosmic ray in 30 s.
    when, values = (date(2020, 4, 5), ("powerlaw", "")) if name == "pocket" else (date(2019, 4, 5), (True, False))
    plan = night(camera=TINY, sky=Sky(bright=9.0, faint=11.0, density=3000.0), n_led=1, night=when)
    also = {"read_noise": True} if name == "noisy_pixels" else {}
    on, off = (replace(plan, effects=Effects.none(**{"photon_noise": True, **also, name: value})) for value in values)
    if name == "cosmic_rays":
        plan_long = tuple(replace(frame, exptime=3000.0) for frame in plan.objects)
        on, off = replace(on, objects=plan_long), replace(off, objects=plan_long)
    if name == "fringes":
        lines = tuple(replace(frame, fringes=(0.02, 0.01, 0.01)) for frame in plan.objects)
        on, off = replace(on, objects=lines), replace(off, objects=lines)

    def frames(plan):
        for frame in (plan.biases[0], plan.flats[0], plan.objects[0]):
            yield from read_out_ccd(plan, CcdExposure(frame.exposure, 3))[1]

    assert any((a != b).any() for a, b in zip(frames(on), frames(off), strict=True))


@pytest.mark.parametrize("model", ["powerlaw", "equilibrium"])
@pytest.mark.parametrize("qid", [1, 2, 3, 4])
def test_the_pocket_keeps_the_charge_of_a_row_and_gives_it_back_behind_it(qid, model):
    effects = Effects.none(pocket=model)
    charge = np.random.default_rng(qid).uniform(0, 50_000, TOY.shape).astype(np.float32)

    def read(when, **other):
        plan = night(effects=replace(effects, **other), night=when)
        frame, quadrant = plan.objects[0], Quadrant(3, qid)
        offset = chain.amplifier(plan, quadrant).offset
        return tuple(part - offset for part in chain.read_out(plan, frame, quadrant, charge))

    image, overscan = read(date(2019, 10, 23))
    before, dark = read(date(2019, 10, 22))
    np.testing.assert_allclose(before, charge / 6, atol=1e-3)  # float32 of the offset and 8000 ADU
    assert (dark == 0).all()
    # What a row lacks is on its way out behind it, and no more than a pocketful (some 2000 ADU) is still inside.
    missing = (before - image).sum(axis=1) - overscan.sum(axis=1)
    assert (overscan > 0).all()
    assert (missing >= -0.5).all()
    assert (missing < 100).all()
    # In readout order the first pixel finds the pocket empty and loses most; the overscan falls.
    lost, seen = (flip_readout(part, qid) for part in (before - image, overscan))
    assert (lost[:, 0] > 5).all()
    assert (np.diff(seen, axis=1) < 0).all()


def test_an_unknown_pocket_is_refused():
    plan = night(effects=Effects.none(pocket="magic"), night=date(2020, 1, 1))
    with pytest.raises(ValueError, match="no pocket model 'magic'"):
        chain.read_out(plan, plan.objects[0], Quadrant(3, 1), np.zeros(TOY.shape, np.float32))


def test_hot_pixels_are_dark_in_a_bias_and_bright_in_an_exposure():
    plan, quadrant = night(camera=TINY, effects=Effects.none(hot_pixels=True)), Quadrant(3, 1)
    hot = chain.dark_rate(plan, quadrant) > 0
    assert hot.sum() == round(detector.HOT_FRACTION * hot.size)
    assert not chain.expected_charge(plan, plan.biases[0], quadrant).any()
    dark_sky = replace(plan, sky=replace(plan.sky, density=0.0))
    charge = chain.expected_charge(dark_sky, plan.objects[0], quadrant)
    assert charge[hot].min() - charge[~hot].max() > 30 * detector.HOT_RATE_E[0] * 0.99


def test_noise_of_two_exposures_and_of_two_quadrants_is_not_the_same():
    plan = night()
    noises = [
        chain.read_noise(replace(plan, effects=Effects()), frame, Quadrant(3, qid), "read noise", TOY.shape)
        for frame in (plan.biases[0], plan.biases[1])
        for qid in (1, 2)
    ]
    for i in range(4):
        for j in range(i):
            # The correlation of n independent pairs is 0 within 1/sqrt(n): five of those.
            correlation = np.corrcoef(noises[i].ravel(), noises[j].ravel())[0, 1]
            assert abs(correlation) < 5 / np.sqrt(noises[0].size)


def test_real_and_tiny_nights_have_amplifiers_alike():
    tiny, real = tiny_night(), real_size_night(3)
    assert chain.amplifier(tiny, Quadrant(3, 1)) == chain.amplifier(real, Quadrant(3, 1))
