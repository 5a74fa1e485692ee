"""One detector, its calibration frames and its masters, made once."""

import pytest

from tests.lib.detrend.raw_files import Detector
from ztf_in2p3.camera import TINY
from ztf_in2p3.detrend.masters import combine_leds, led_flat, master_bias
from ztf_in2p3.recipes import QuadrantRecipe

RECIPE = QuadrantRecipe()


@pytest.fixture(scope="session")
def detector():
    return Detector()


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("raw")


@pytest.fixture(scope="session")
def bias_frames(detector, folder):
    return detector.biases(folder, 10)


@pytest.fixture(scope="session")
def flat_frames(detector, folder):
    """By LED; the second one is a little brighter."""
    return {2: detector.flats(folder, 2, 4, adu=20_000), 3: detector.flats(folder, 3, 5, adu=22_000)}


@pytest.fixture(scope="session")
def bias(bias_frames):
    return master_bias(bias_frames, TINY, 3, RECIPE.bias)


@pytest.fixture(scope="session")
def led_flats(flat_frames, bias):
    return {led: led_flat(paths, bias, TINY, 3, RECIPE.flat.led) for led, paths in flat_frames.items()}


@pytest.fixture(scope="session")
def flat(led_flats):
    return combine_leds(led_flats.values(), RECIPE.flat)
