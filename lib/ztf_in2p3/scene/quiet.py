"""Flux of the source in exposures in which it does not shine by assumption: the test of that assumption."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.scene.elimination import FLUX, N_NUISANCE, ExposureModel
from ztf_in2p3.scene.passes import Passes
from ztf_in2p3.scene.solve import SceneSolution


def quiet_fluxes(fit: Passes, solution: SceneSolution) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Flux of each quiet exposure and its error, as if it alone of them were free; NaN for the others.

    A column z more in a fit with normal matrix H: with q what of z is orthogonal to the exposure's own parameters, of
    length r, c = X^T q and h = c^T H^-1 c, the flux is q^T (d - X t) / (r (1 - h)), t being the fit without the column.
    Its variance is q^T V q / (r^2 (1 - h)), where the galaxy's pixels are as noisy as these.

    Returns
    -------
    flux, error : (exposure,)
    """
    n, n_node = len(fit.series), len(fit.equations.gram)
    flux, error = np.full(n, np.nan), np.full(n, np.nan)
    model = ExposureModel(replace(fit.series, active=np.ones(n, bool)), fit.exposure_model.design, fit.recipe.soft)
    model.centre(fit.exposure_model.centred)
    keep = fit.state.keep.copy()
    for i in map(int, fit.quiet):
        pixels = model.linearise(i, fit.state, fit.recipe.clip, fit.recipe.model_error)
        row, r = pixels.q[FLUX], pixels.r[FLUX, FLUX]
        n_pixel = len(row) - N_NUISANCE + 1
        column = np.zeros(len(solution.common))  # the source is not there, so its place changes nothing
        column[:n_node] = pixels.scale * (pixels.nodes @ (pixels.root * row[:n_pixel]))
        alone = 1 - float(column @ solution.inverse_times(column[:, None])[:, 0]) if len(column) else 1.0
        if alone > 0:  # otherwise no exposure but this knows the galaxy under the source
            flux[i] = (row[:n_pixel] @ pixels.data - column @ solution.common) / (r * alone)
            error[i] = ((row[:n_pixel] ** 2 @ pixels.variance + row[n_pixel:] @ row[n_pixel:]) / alone) ** 0.5 / r
    fit.state.keep[:] = keep
    return flux, error
