"""Simulated series reduced to PSFs and star fluxes, shared by the tests of the PSF and of the scene."""

from __future__ import annotations

from dataclasses import replace

import pytest
from threadpoolctl import threadpool_limits

from tests.lib.scene.reduce import Reduced, reduce
from ztf_in2p3.simulate.transient import TransientPlan, simulate_transient

SMALL = TransientPlan(n_exposure=16, n_quiet=8, n_star=30, side=17, seeing=(2.1, 3.0), wcs_error=0.0)


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Matrices are small: a second thread would only wait for the first."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="session")
def quiet_stars() -> Reduced:
    """A bright host, a supernova, no noise, and all that stars without noise tell."""
    return reduce(simulate_transient(replace(SMALL, noise=False)))


@pytest.fixture(scope="session")
def noisy() -> Reduced:
    """Everything from noisy stars: fewer than a quadrant has (200 alone of 14 to 18 mag near the poles)."""
    plan = TransientPlan(n_exposure=12, n_quiet=6, n_star=100, star_mags=(14.0, 18.0), star_slope=0.25, side=15)
    return reduce(simulate_transient(plan))
