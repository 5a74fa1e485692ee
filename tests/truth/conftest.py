"""Nights simulated and reduced once for all tests of this folder."""

import pyarrow as pa
import pytest

from tests.truth.photometry import RECIPE
from tests.truth.reduction import measure, reduce_night
from ztf_in2p3.simulate.exposures import tiny_night
from ztf_in2p3.simulate.survey import simulate_night


@pytest.fixture(scope="session")
def night(tmp_path_factory):
    """Two CCDs of the tiny camera, two filters, two fields: every usual effect is on."""
    plan = tiny_night(seed=20190406, ccdids=(3, 6), n_bias=6, n_flat=3)
    tree = tmp_path_factory.mktemp("tiny")
    simulate_night(plan, tree)
    return reduce_night(tree, plan)


@pytest.fixture(scope="session")
def catalogues(night):
    """By CCD exposure."""
    return {ccd: measure(night.tree, night.plan, ccd, images, RECIPE) for ccd, images in night.images.items()}


@pytest.fixture(scope="session")
def truths(night) -> dict[object, pa.Table]:
    """True stars by CCD exposure."""
    return {ccd: night.truth.stars(ccd) for ccd in night.images}
