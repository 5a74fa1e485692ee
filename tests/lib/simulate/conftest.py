"""A small night, and its tree, shared by the tests of the simulator."""

from dataclasses import replace

import pytest

from ztf_in2p3.identifiers import Filter
from ztf_in2p3.simulate.exposures import tiny_night
from ztf_in2p3.simulate.survey import simulate_night


@pytest.fixture(scope="session")
def plan():
    """Without odd files: what is stated of its files is stated of plain ones."""
    night = tiny_night(ccdids=(3, 6), filters=(Filter.ZR,), n_bias=1, n_led=2, n_flat=1, n_object=2, n_field=1)
    return replace(night, odd_share=0.0)


@pytest.fixture(scope="session")
def tree(plan, tmp_path_factory):
    folder = tmp_path_factory.mktemp("night")
    simulate_night(plan, folder)
    return folder
