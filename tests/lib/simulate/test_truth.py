"""The truth is what a perfect reduction of perfect frames gives, and the noise is what it is said to be."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import sep
from astropy.io import fits

from ztf_in2p3.errors import MissingProduct
from ztf_in2p3.identifiers import CcdExposure, Filter, Quadrant
from ztf_in2p3.image import MaskBit
from ztf_in2p3.simulate import chain, detector, files
from ztf_in2p3.simulate.raw import read_out_ccd
from ztf_in2p3.simulate.science import science_mask
from ztf_in2p3.simulate.truth import STAR_TRUTH, Truth


def slow_reduction(plan, frame, ccdid):
    """Linear ADU over the offset, by qid, as in the definition of the corrections."""
    linear = {}
    for qid, (image, overscan) in read_out_ccd(plan, CcdExposure(frame.exposure, ccdid)).items():
        last_read = overscan[:, :5] if qid in (2, 3) else overscan[:, -5:]
        row = np.arange(len(image))
        level = np.polynomial.Polynomial.fit(row, np.median(last_read.astype(float), axis=1), 3)(row)
        x = image - level[:, None]
        a, b = detector.linearity_constants(Quadrant(ccdid, qid), plan.night)
        linear[qid] = x / (a * x**2 + b * x + 1)
    return linear


@pytest.fixture(scope="module")
def reduced(plan):
    """A noiseless night and its frames, reduced by the definition; master of a noiseless frame is that frame."""
    quiet = replace(plan, effects=replace(plan.effects, read_noise=False, photon_noise=False, digitisation=False))
    bias = {ccdid: slow_reduction(quiet, quiet.biases[0], ccdid) for ccdid in quiet.ccdids}
    leds = {
        (ccdid, flat.led): {q: f - bias[ccdid][q] for q, f in slow_reduction(quiet, flat, ccdid).items()}
        for ccdid in quiet.ccdids
        for flat in quiet.flats
    }
    medians = {key: np.median(np.stack(list(flats.values()))) for key, flats in leds.items()}
    combined = {
        ccdid: {q: np.mean([leds[ccdid, led][q] / medians[ccdid, led] for led in (7, 8)], axis=0) for q in range(1, 5)}
        for ccdid in quiet.ccdids
    }
    return quiet, bias, leds, medians, combined


def test_masters_and_levels(reduced):
    quiet, bias, leds, medians, combined = reduced
    truth = Truth(quiet)
    levels = truth.levels(Filter.ZR)
    for ccdid in quiet.ccdids:
        # 2e-4: dead pixels pull the medians; 0.02 ADU: deferred charge left in the last overscan columns.
        assert levels.fltnorm(ccdid) == pytest.approx(np.mean([medians[ccdid, 7], medians[ccdid, 8]]), rel=2e-4)
        for qid in range(1, 5):
            np.testing.assert_allclose(bias[ccdid][qid], truth.bias(ccdid, qid), atol=0.02)
            seen = np.isfinite(truth.flat(Filter.ZR, ccdid, qid))
            assert 0 < (~seen).sum() < 20
            np.testing.assert_allclose(combined[ccdid][qid][seen], truth.flat(Filter.ZR, ccdid, qid)[seen], rtol=3e-4)
            led_flat = leds[ccdid, 7][qid] / medians[ccdid, 7]
            np.testing.assert_allclose(led_flat[seen], truth.led_flat(Filter.ZR, 7, ccdid, qid)[seen], rtol=3e-4)
    level = np.median([np.median(np.stack(list(combined[c].values()))) * levels.fltnorm(c) for c in quiet.ccdids])
    assert levels.focal_plane == pytest.approx(level, rel=2e-4)


def test_detrended_images(reduced):
    quiet, bias, _, medians, combined = reduced
    truth, frame = Truth(quiet), quiet.objects[1]
    norms = {ccdid: np.mean([medians[ccdid, 7], medians[ccdid, 8]]) for ccdid in quiet.ccdids}
    level = np.median([np.median(np.stack(list(combined[c].values()))) * norms[c] for c in quiet.ccdids])
    for ccdid in quiet.ccdids:
        linear = slow_reduction(quiet, frame, ccdid)
        for qid in range(1, 5):
            expected = truth.detrended(CcdExposure(frame.exposure, ccdid), qid)
            seen = np.isfinite(expected)
            detrended = (linear[qid] - bias[ccdid][qid])[seen] / combined[ccdid][qid][seen] * level / norms[ccdid]
            np.testing.assert_allclose(detrended, expected[seen], rtol=6e-4, atol=0.03)


def test_the_sky_is_what_is_left_without_stars(plan):
    empty = replace(plan, sky=replace(plan.sky, density=0.0), effects=replace(plan.effects, hot_pixels=False))
    ccd = CcdExposure(plan.objects[0].exposure, 6)
    truth = Truth(empty)
    image = truth.detrended(ccd, 2)
    seen = np.isfinite(image)
    np.testing.assert_allclose(image[seen], truth.sky(ccd, 2)[seen], rtol=1e-5)
    # The lamps light the focal plane otherwise than the sky does, so that the detrended sky is not flat.
    assert np.ptp(truth.sky(ccd, 2)) / truth.sky(ccd, 2).mean() > 1e-3


def test_stars_hold_the_flux_of_the_truth(plan):
    truth = Truth(replace(plan, effects=replace(plan.effects, hot_pixels=False, saturation=False)))
    dark = Truth(replace(truth.plan, sky=replace(plan.sky, density=0.0)))
    ccd = CcdExposure(plan.objects[0].exposure, 3)
    stars = truth.stars(ccd).to_pandas()
    radius, compared = 8.0, 0
    for qid, some in stars.groupby("qid"):
        image = truth.detrended(ccd, qid).astype(float) - dark.detrended(ccd, qid)
        dead = ~np.isfinite(image)
        fraction = truth.aperture_fractions(ccd.exposure, some.x.to_numpy(), some.y.to_numpy(), [radius])[:, 0]
        flux, _, flag = sep.sum_circle(image, some.x, some.y, radius, mask=dead, subpix=0)
        apart = np.hypot(some.x.to_numpy() - some.x.to_numpy()[:, None], some.y.to_numpy() - some.y.to_numpy()[:, None])
        lonely = (np.sort(apart, axis=1)[:, 1] > 40) & (flag == 0)
        compared += lonely.sum()
        # Half a millimagnitude, and the wings of other stars (40 pixels away: 1e-9 of them in each of 200 pixels).
        wings = 200 * 1e-9 * some.flux.sum()
        np.testing.assert_allclose(flux[lonely], (some.flux * fraction)[lonely], rtol=5e-4, atol=wings)
    assert compared > 5


def test_the_table_on_disk_is_the_truth(plan, tree):
    truth = Truth.load(tree)
    assert truth.plan == plan
    ccd = CcdExposure(plan.objects[1].exposure, 6)
    table = pq.read_table(tree / files.star_truth_path(ccd))
    assert table.equals(truth.stars(ccd))
    assert table.column_names == [column.name for column in STAR_TRUTH]
    assert 4 * 25 < table.num_rows < 4 * 50
    assert len(set(table["star_id"].to_pylist())) == table.num_rows


def test_extinction_is_that_of_the_stars_own_airmass(plan, tree):
    frame = plan.objects[0]
    stars = Truth(plan).stars(CcdExposure(frame.exposure, 3)).to_pandas()
    nominal = -2.5 * np.log10(stars.flux / stars.scale)
    np.testing.assert_allclose(
        nominal, stars.magnitude - frame.zero_point + frame.extinction * (stars.airmass - 1), atol=1e-9
    )
    assert abs(stars.airmass.mean() - frame.airmass) < 0.01
    assert np.ptp(stars.airmass) > 1e-4


def test_noise_of_the_science_image_is_the_variance(plan, tree):
    truth = Truth(plan)
    for frame in plan.objects:
        ccd = CcdExposure(frame.exposure, 3)
        for qid in (1, 2, 3, 4):
            image = fits.getdata(tree / files.science_path(ccd, qid))
            mask = fits.getdata(tree / files.mask_path(ccd, qid))
            good = (mask & ~int(MaskBit.DETECTION)) == 0
            pull = (image - truth.detrended(ccd, qid))[good] / np.sqrt(truth.variance(ccd, qid)[good])
            # Digitisation is not in this image: 1/12 ADU^2 of its variance, 0.2 % at the darkest sky.
            assert pull.mean(dtype=float) == pytest.approx(0, abs=5 / np.sqrt(pull.size))
            assert pull.std(dtype=float) == pytest.approx(1, rel=5 / np.sqrt(2 * pull.size) + 2e-3)


def test_noise_of_the_raw_image_is_the_variance(plan):
    truth, frame = Truth(plan), plan.objects[0]
    linear = slow_reduction(plan, frame, 6)
    levels = truth.levels(Filter.ZR)
    for qid in range(1, 5):
        detrended = (linear[qid] - truth.bias(6, qid)) / truth.flat(Filter.ZR, 6, qid) * levels.factor(6)
        ccd = CcdExposure(frame.exposure, 6)
        expected, variance = truth.detrended(ccd, qid), truth.variance(ccd, qid)
        pull = ((detrended - expected) / np.sqrt(variance))[np.isfinite(expected)]
        # The overscan is known to 0.3 ADU: 1.6 ADU x 1.25 (median) x sqrt(4 coefficients / (5 x 256 samples)).
        assert abs(pull.mean() * np.sqrt(np.nanmedian(variance))) < 5 * 1.6 * 1.25 * np.sqrt(4 / 1280)
        assert pull.std() == pytest.approx(1, rel=5 / np.sqrt(2 * pull.size) + 2e-3)


def test_mask_bits(plan, tree):
    ccd = CcdExposure(plan.objects[0].exposure, 3)
    mask = fits.getdata(tree / files.mask_path(ccd, 2))
    assert mask.dtype == np.dtype(">i2")
    quadrant = Quadrant(3, 2)
    np.testing.assert_array_equal((mask & int(MaskBit.DEAD)) > 0, chain.dead_pixels(plan, quadrant))
    hot = int(MaskBit.NOISY | MaskBit.HIGH_RESPONSE)
    np.testing.assert_array_equal((mask & hot) == hot, chain.dark_rate(plan, quadrant) > 0)
    stars = Truth(plan).stars(ccd).to_pandas().query("qid == 2").nlargest(10, "flux")
    assert ((mask[stars.y.round().astype(int), stars.x.round().astype(int)] & int(MaskBit.DETECTION)) > 0).all()
    assert 0.005 < ((mask & int(MaskBit.DETECTION)) > 0).mean() < 0.2


def test_saturated_pixels_are_masked_and_their_stars_known(plan):
    bright = replace(plan, sky=replace(plan.sky, bright=10.0, faint=14.0, density=2000.0))
    frame = bright.objects[0]
    ccd, quadrant = CcdExposure(frame.exposure, 3), Quadrant(3, 1)
    charge = chain.collected_charge(bright, frame, quadrant, chain.expected_charge(bright, frame, quadrant))
    full = (science_mask(bright, ccd, 1, charge) & int(MaskBit.SATURATED)) > 0
    np.testing.assert_array_equal(full, charge >= 58_600 * 6)
    stars = Truth(bright).stars(ccd).to_pandas().query("qid == 1")
    inside = stars[stars.x.between(2, 237) & stars.y.between(2, 253)]
    for star in inside.itertuples():
        row, column = round(star.y), round(star.x)
        if full[row - 1 : row + 2, column - 1 : column + 2].any():
            assert star.saturated or not chain.pixel_response(bright, quadrant)[row, column]
    assert 0 < inside.saturated.sum() < len(inside)


def test_what_is_not_there_is_named(plan, tmp_path):
    with pytest.raises(MissingProduct, match="simulate_night"):
        Truth.load(tmp_path)
    with pytest.raises(ValueError, match="no sky"):
        Truth(plan).detrended(CcdExposure(plan.biases[0].exposure, 3), 1)
