"""A dithered sequence and the fit of it in memory, which other ways to hold it must equal."""

import pytest

from ztf_in2p3.camera import TINY
from ztf_in2p3.recipes import RobustRecipe, StarflatRecipe
from ztf_in2p3.simulate.measurements import Effects, dithered_sequence, star_measurements
from ztf_in2p3.starflat.model import fit_starflat

RECIPE = StarflatRecipe(superpixels=3, robust=RobustRecipe(method="iterative", draws=8))


@pytest.fixture(scope="module")
def sequence():
    return star_measurements(TINY, dithered_sequence(25, TINY), 1500, Effects(map_cells=3, outliers=0.02), seed=8)[0]


@pytest.fixture(scope="module")
def reference(sequence):
    return fit_starflat(sequence, TINY, RECIPE).fit
