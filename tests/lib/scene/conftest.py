"""Series that several tests look at: made once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.lib.conftest import SMALL
from tests.lib.scene.reduce import Reduced, reduce, series_of
from ztf_in2p3.scene.local import LocalWcs
from ztf_in2p3.scene.model import Series
from ztf_in2p3.simulate.transient import TransientSeries, simulate_transient


def exact(reduced: Reduced) -> tuple[TransientSeries, Series]:
    """Stamps with WCS and throughputs known, the PSFs from noise-free stars (so: nothing but the scene)."""
    quiet = reduced.simulated
    psfs, ratio, wcs = [], [], []
    for i, (model, fluxes) in enumerate(zip(reduced.psf, reduced.fluxes, strict=True)):
        u = quiet.star_u + quiet.years[i] * quiet.star_motion
        # The PSF has its own idea of a star's centre and flux: what it says of stars goes for the transient.
        off = np.average(fluxes.place - (quiet.true_place[i] + u @ quiet.true_matrix[i].T), axis=0,
                         weights=quiet.star_flux)  # fmt: skip
        wcs.append(LocalWcs(quiet.true_place[i] + off, quiet.true_matrix[i], 0.0, 0))
        ratio.append(np.average(fluxes.flux / quiet.star_flux, weights=quiet.star_flux))
        psfs.append(model.at(quiet.true_place[i]))
    series = series_of(quiet, psfs, wcs, np.array(ratio), np.zeros(len(ratio)))
    return quiet, series


@pytest.fixture(scope="session")
def clean(quiet_stars: Reduced) -> tuple[TransientSeries, Series]:
    """The same without anything that is not exactly known."""
    return exact(quiet_stars)


@pytest.fixture(scope="session")
def clean_sharp() -> tuple[TransientSeries, Series]:
    """The same in a seeing that pixels undersample."""
    sharp = replace(SMALL, n_exposure=8, n_quiet=4, seeing=(1.3, 1.9), noise=False)
    return exact(reduce(simulate_transient(sharp)))
