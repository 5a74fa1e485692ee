"""What the pocket took from a frame is put back: background, first columns, overscan, stars, flats."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from astropy.io import fits

from tests.lib.detrend.raw_files import QIDS, bent, write_raw
from ztf_in2p3.camera import TINY, flip_readout
from ztf_in2p3.detrend.ccd_master import CcdMaster
from ztf_in2p3.detrend.masters import led_flat
from ztf_in2p3.detrend.quadrant import detrend_ccd
from ztf_in2p3.errors import BadData, MissingProduct
from ztf_in2p3.frames import RawCcd
from ztf_in2p3.identifiers import Quadrant
from ztf_in2p3.image import MaskBit
from ztf_in2p3.recipes import LedFlatRecipe, QuadrantRecipe, SensorRecipe
from ztf_in2p3.sensor.equilibrium import NODES, Equilibrium
from ztf_in2p3.sensor.linearity import linearity_of
from ztf_in2p3.sensor.readout import Readout
from ztf_in2p3.simulate.pocket import equilibrium_charge, pocket_of

CCD, NIGHT, MJD = 6, date(2020, 4, 5), 58944.4
ROWS, COLUMNS = TINY.shape
GAIN, NOISE = 6.0, 1.5
"""Electrons per ADU; ADU of read noise."""
BIAS = 60.0
DRIFT = 1000 + np.polynomial.Polynomial([0, -2, 1, 3])(np.linspace(-1, 1, ROWS))


def exposed(path, charge, *, model="powerlaw", noise=NOISE, night=NIGHT, seed=0, **keywords):
    """Write what a CCD records of charges (row, column) by qid, ADU."""
    rng = np.random.default_rng(seed)
    images, overscans = {}, {}
    for q, true in charge.items():
        linearity = linearity_of(Quadrant(CCD, q).rcid, NIGHT)
        pocket = pocket_of(model, night, Quadrant(CCD, q), 173.0)
        seen, behind = true, np.zeros((ROWS, TINY.overscan_columns))
        if pocket is not None:
            seen, behind = (flip_readout(p, q) for p in pocket.read(flip_readout(true, q), TINY.overscan_columns))
        images[q], overscans[q] = (
            DRIFT[:, None] + bent(part, linearity) + noise * rng.standard_normal(part.shape)
            for part in (seen + BIAS, behind)
        )
    return write_raw(path, images, overscans, ccdid=CCD, keywords={"OBSMJD": MJD, **keywords})


def sky(level, seed=1):
    rng = np.random.default_rng(seed)
    return {q: rng.poisson(level * GAIN, TINY.shape) / GAIN for q in QIDS}


def planes(value):
    return {q: np.full(TINY.shape, value, np.float32) for q in QIDS}


BIAS_MASTER = CcdMaster(CCD, planes(BIAS), planes(0), planes(10), {})
FLAT = CcdMaster(CCD, planes(1), planes(0), planes(10), {"FLTNORM": 20_000.0})


def recipe_of(**sensor):
    recipe = QuadrantRecipe()
    bias = replace(recipe.bias, sensor=SensorRecipe(**sensor))
    flat = replace(recipe.flat, led=replace(recipe.flat.led, bias=bias))
    return replace(recipe, focal_plane=replace(recipe.focal_plane, flat=flat))


def measured(raw, qid):
    """The pocket that the simulator's equilibrium model has, as a calibration would know it."""
    function = equilibrium_charge(NODES.astype(float), 173.0, Quadrant(raw.ccdid, qid))
    return Equilibrium(function.astype(np.float32))


def detrended(path, pockets=measured, **sensor):
    headers = {q: fits.Header() for q in QIDS}
    return detrend_ccd(path, BIAS_MASTER, FLAT, 20_000.0, headers, {}, TINY, recipe_of(**sensor), pockets=pockets)


@pytest.mark.parametrize("model", ["powerlaw", "equilibrium"])
@pytest.mark.parametrize("level", [100, 400, 1000])
def test_background_and_first_columns_come_back(tmp_path, level, model):
    truth = sky(level)
    made = detrended(exposed(tmp_path / "raw.fits.fz", truth, model=model), pocket=model)
    for q, (image, header) in made.items():
        error = flip_readout(image.data - truth[q], q)
        # The offset, a mean of five columns and 256 rows, in the exposure and a tenth of it in the bias.
        assert abs(error.mean()) < 4 * 1.05 * NOISE / np.sqrt(5 * 256)
        # Noise of a column: read noise, up to 1.5 times as large, over 16; five columns of four quadrants to 4 sigma.
        assert np.abs(error[:, :5].mean(axis=0) - error.mean()).max() < 4 * 1.5 * NOISE / 16
        assert header["POCKCOR"]
        assert not (image.mask & MaskBit.SWALLOWED).any()


def test_the_offset_knows_what_is_released_in_its_columns(tmp_path):
    path, truth = tmp_path / "raw.fits.fz", sky(1000)
    for q in QIDS:
        truth[q][100:110] += 20_000  # a bright star across the end of ten rows
    exposed(path, truth, noise=0.0)
    with RawCcd.open(path, TINY) as raw:
        for q in QIDS:
            pixels = raw.pixels(q)
            alone = Readout.of(raw, q, SensorRecipe()).offset - DRIFT
            known = Readout.of_light(raw, q, SensorRecipe(), BIAS_MASTER.data[q], pixels=pixels).offset - DRIFT
            sampled = Readout.of_light(raw, q, SensorRecipe(), BIAS_MASTER.data[q]).offset - DRIFT
            assert np.abs(alone).mean() > 0.5  # what ignoring it costs
            assert np.abs(known).max() < 0.01  # steps of the file's quantisation
            assert np.abs(sampled).max() < 0.15  # some of the rows, smoothed


def test_stars_keep_their_flux(tmp_path):
    level, n = 400, 200
    rng = np.random.default_rng(7)
    row, column = rng.integers(10, ROWS - 10, n), rng.integers(10, COLUMNS - 10, n)
    flux = np.geomspace(1000, 300_000, n)
    y, x = np.mgrid[-8:9, -8:9]
    psf = np.exp(-0.5 * (x**2 + y**2) / 1.2**2)
    charge = {q: np.full(TINY.shape, float(level)) for q in QIDS}
    for q in QIDS:
        for r, c, f in zip(row, column, flux, strict=True):
            part = np.s_[max(r - 8, 0) : r + 9, max(c - 8, 0) : c + 9]
            stamp = psf[max(8 - r, 0) : 17 - max(r + 9 - ROWS, 0), max(8 - c, 0) : 17 - max(c + 9 - COLUMNS, 0)]
            charge[q][part] += f * stamp / psf.sum()
        charge[q] = np.random.default_rng(q).poisson(charge[q] * GAIN) / GAIN

    def fluxes(model):
        path = exposed(tmp_path / f"raw{model}.fits.fz", charge, model=model, noise=0.3)  # the same noise in both
        made = detrended(path, pocket=model or "none")
        near = (x**2 + y**2 <= 36).astype(float)
        total = np.empty((4, n))
        for q, (image, _) in made.items():
            padded = np.pad(image.data - level, 8)
            for i, (r, c) in enumerate(zip(row, column, strict=True)):
                total[q - 1, i] = (padded[r : r + 17, c : c + 17] * near).sum()
        return total

    on, off = fluxes("powerlaw"), fluxes("")
    alone = np.sqrt(np.pi * 36 * (level / GAIN + 0.3**2) + flux / GAIN)
    # A tenth of the flux's error, or half a millimagnitude of a bright star.
    change = np.abs((on - off) - np.median(on - off, axis=1, keepdims=True))
    assert np.percentile(change / np.maximum(0.1 * alone, 5e-4 * flux), 95) < 1


def test_flats_are_corrected_and_biases_are_not(tmp_path):
    charge = {q: np.full(TINY.shape, 20_000.0) for q in QIDS}
    frames = [exposed(tmp_path / f"f{i}.fits.fz", charge, seed=i, ILUM_LED=2) for i in range(3)]
    for pocket, deficit in (("powerlaw", 0.0), ("none", 0.01)):
        bias = replace(LedFlatRecipe().bias, sensor=SensorRecipe(pocket=pocket))
        made = led_flat(frames, BIAS_MASTER, TINY, CCD, replace(LedFlatRecipe(), bias=bias))
        assert made.cards["POCKCOR"][0] == (pocket == "powerlaw")
        for q in QIDS:
            column = flip_readout(made.data[q], q)[:, 0].mean()
            # Read noise of three frames and 256 rows: 1.5 / sqrt(768) / 20 000 = 3e-6.
            assert (abs(column - 1) < 2e-5) if not deficit else (1 - column > deficit)


def test_a_measured_pocket_must_be_given(tmp_path):
    path = exposed(tmp_path / "raw.fits.fz", sky(400), model="equilibrium")
    with pytest.raises(MissingProduct, match="calibrate the pocket"):
        detrended(path, None, pocket="equilibrium")


def test_a_night_before_the_pocket_is_left_alone(tmp_path):
    truth = sky(400)
    path = exposed(tmp_path / "raw.fits.fz", truth, night=date(2019, 10, 1), OBSMJD=58757.4)
    (one, header), (other, _) = detrended(path)[1], detrended(path, pocket="none")[1]
    np.testing.assert_array_equal(one.data, other.data)
    assert not header["POCKCOR"]


def test_a_sky_too_dark_for_the_pocket_is_refused(tmp_path):
    with pytest.raises(
        BadData, match=r"none of its .* pixels can be used \(.* that the pocket may have captured whole"
    ):
        detrended(exposed(tmp_path / "raw.fits.fz", sky(5)))
