"""From a simulated series to what the scene fit takes, by the stars alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ztf_in2p3.psf.fit import STANDARD, PsfModel, fit_psf
from ztf_in2p3.psf.model import Psf
from ztf_in2p3.psf.size import LocalPsf, refine_psf
from ztf_in2p3.psf.stars import StarFluxes, StarStamps, measure_stars
from ztf_in2p3.recipes import PsfRecipe
from ztf_in2p3.scene.local import LocalWcs, PhotometricRatios, photometric_ratios, refine_wcs
from ztf_in2p3.scene.model import SceneFit, Series
from ztf_in2p3.simulate.transient import TransientPlan, TransientSeries


@dataclass
class Reduced:
    simulated: TransientSeries
    psf: list[PsfModel]
    wcs: list[LocalWcs]
    fluxes: list[StarFluxes]
    local: list[LocalPsf]
    ratios: PhotometricRatios
    series: Series


def stamps_of(simulated: TransientSeries, i: int) -> StarStamps:
    u = simulated.star_u + simulated.years[i] * simulated.star_motion
    expected = simulated.place[i] + u @ simulated.matrix[i].T
    data = simulated.star_data[i]
    return StarStamps(data, np.zeros(data.shape, bool), simulated.star_corner[i], expected,
                      float(simulated.variance[i]), simulated.plan.gain)  # fmt: skip


def reduce(simulated: TransientSeries, recipe: PsfRecipe = STANDARD) -> Reduced:
    """PSFs, WCS, throughputs."""
    found = [fit_psf(stamps_of(simulated, i), recipe) for i in range(len(simulated.mjd))]
    return assembled(simulated, [model for model, _, _ in found], [fluxes for _, _, fluxes in found])


def widened(reduced: Reduced, factor: float) -> Reduced:
    """The same with PSFs that were spoilt after they were fitted."""
    simulated, psf = reduced.simulated, [model.widened(factor) for model in reduced.psf]
    stamps = [stamps_of(simulated, i).inner(simulated.plan.star_margin) for i in range(len(psf))]
    return assembled(simulated, psf, [measure_stars(*pair) for pair in zip(stamps, psf, strict=True)])


def assembled(simulated: TransientSeries, psfs: list[PsfModel], fluxes: list[StarFluxes]) -> Reduced:
    wcs, local = [], []
    for i, (model, measured) in enumerate(zip(psfs, fluxes, strict=True)):
        u = simulated.star_u + simulated.years[i] * simulated.star_motion
        start = LocalWcs(simulated.place[i], simulated.matrix[i], 0.0, 0)
        wcs.append(refine_wcs(start, u, measured.place, measured.place_error))
        local.append(local_psf(model, wcs[i].place, measured, simulated.plan))
    flux, error = (np.array([getattr(f, name) for f in fluxes]) for name in ("flux", "error"))
    ratios = photometric_ratios(flux / np.array([one.flux_fraction for one in local]), error, simulated.star_flux)
    ratio_error = np.hypot(ratios.error, [one.flux_error for one in local])
    series = series_of(simulated, [one.psf for one in local], wcs, ratios.ratio, ratio_error)
    return Reduced(simulated, psfs, wcs, fluxes, local, ratios, series)


def local_psf(model: PsfModel, at: np.ndarray, measured: StarFluxes, plan: TransientPlan) -> LocalPsf:
    return refine_psf(model, at, plan.side, measured.place, measured.width, measured.width_error)


def series_of(
    simulated: TransientSeries, psf: list[Psf], wcs: list[LocalWcs], ratio: np.ndarray, ratio_error: np.ndarray
) -> Series:
    n = len(simulated.mjd)
    return Series(
        simulated.mjd, simulated.data, np.zeros(simulated.data.shape, bool), simulated.variance,
        np.full(n, simulated.plan.gain), tuple(psf), np.array([w.place for w in wcs]) - simulated.corner,
        np.array([w.matrix for w in wcs]), np.array([w.error for w in wcs]), ratio, ratio_error, simulated.active,
    )  # fmt: skip


def star_series(reduced: Reduced, s: int) -> Series:
    """Stamps of one star, as `fit_star` takes them: u = 0 where the catalogue has it, at the mean epoch."""
    sim = reduced.simulated
    n = len(sim.mjd)
    u = sim.star_u[s] + sim.years.mean() * sim.star_motion[s]
    place = np.array([w(u) for w in reduced.wcs])
    with_stars = zip(reduced.psf, place, reduced.fluxes, strict=True)
    psf = tuple(local_psf(model, at, measured, sim.plan).psf for model, at, measured in with_stars)
    margin = sim.plan.star_margin
    data = sim.star_data[:, s, margin:-margin, margin:-margin]
    origin = place - sim.star_corner[:, s] - margin
    return Series(
        sim.mjd, data, np.zeros(data.shape, bool), sim.variance,
        np.full(n, sim.plan.gain), psf, origin, np.array([w.matrix for w in reduced.wcs]),
        np.array([w.error for w in reduced.wcs]), reduced.ratios.ratio, reduced.ratios.error, np.ones(n, bool),
    )  # fmt: skip


def with_noise(simulated: TransientSeries, series: Series, seed: int) -> Series:
    """Noise on an exact series; stars and their PSFs stay."""
    rng = np.random.default_rng(seed)
    plan = simulated.plan
    variance = np.maximum(simulated.data, 0) / plan.gain + (plan.read_noise / plan.gain) ** 2
    return replace(series, data=simulated.data + np.sqrt(variance) * rng.standard_normal(variance.shape))


def amplitude(simulated: TransientSeries, fit: SceneFit) -> float:
    """Bias of a light curve of known shape, mmag; positive: too faint."""
    true = simulated.flux[fit.measured]
    return float(-2500 / np.log(10) * (fit.flux[fit.measured] @ true / (true @ true) - 1))
