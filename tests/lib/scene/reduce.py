"""From a simulated series to what the scene fit takes, by the stars alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lib.recipes import PsfRecipe
from lib.scene.local import LocalWcs, Throughputs, refine_wcs, throughputs
from lib.scene.model import Series
from lib.scene.psf import Psf
from lib.scene.psf_fit import STANDARD, PsfModel, fit_psf
from lib.scene.stars import StarFluxes, StarStamps, measure_stars
from lib.simulate.transient import TransientSeries


@dataclass
class Reduced:
    simulated: TransientSeries
    psf: list[PsfModel]
    wcs: list[LocalWcs]
    fluxes: list[StarFluxes]
    ratios: Throughputs
    series: Series
    used: list[np.ndarray]


def stamps_of(simulated: TransientSeries, i: int) -> StarStamps:
    u = simulated.star_u + simulated.years[i] * simulated.star_motion
    expected = simulated.place[i] + u @ simulated.matrix[i].T
    data = simulated.star_data[i]
    return StarStamps(data, np.zeros(data.shape, bool), simulated.star_corner[i], expected,
                      float(simulated.variance[i]), simulated.plan.gain)  # fmt: skip


def reduce(simulated: TransientSeries, recipe: PsfRecipe = STANDARD, widen: float = 1.0) -> Reduced:
    """PSFs, WCS, throughputs; `widen` spoils the PSF after it was fitted."""
    n = len(simulated.mjd)
    psfs, wcs, fluxes, used = [], [], [], []
    for i in range(n):
        stamps = stamps_of(simulated, i)
        model, some, measured = fit_psf(stamps, recipe)
        if widen != 1:
            inner = stamps.inner(recipe.margin)
            measured = measure_stars(inner, lambda place, model=model: model.at(place).widened(widen))
        u = simulated.star_u + simulated.years[i] * simulated.star_motion
        start = LocalWcs(simulated.place[i], simulated.matrix[i], 0.0, 0)
        psfs.append(model)
        used.append(some)
        wcs.append(refine_wcs(start, u, measured.place, measured.place_error))
        fluxes.append(measured)
    ratios = throughputs(np.array([f.flux for f in fluxes]), np.array([f.error for f in fluxes]), simulated.star_flux)
    local = [psf.at(one.place).widened(widen) for psf, one in zip(psfs, wcs, strict=True)]
    series = series_of(simulated, local, wcs, ratios.ratio, ratios.error)
    return Reduced(simulated, psfs, wcs, fluxes, ratios, series, used)


def series_of(
    simulated: TransientSeries, psf: list[Psf], wcs: list[LocalWcs], ratio: np.ndarray, ratio_error: np.ndarray
) -> Series:
    n = len(simulated.mjd)
    return Series(
        simulated.mjd, simulated.data, np.zeros(simulated.data.shape, bool), simulated.variance,
        np.full(n, simulated.plan.gain), tuple(psf), np.array([w.place for w in wcs]) - simulated.corner,
        np.array([w.matrix for w in wcs]), np.array([w.error for w in wcs]), ratio, ratio_error, simulated.active,
    )  # fmt: skip


def star_series(reduced: Reduced, s: int, widen: float = 1.0) -> Series:
    """Stamps of one star, as `fit_star` takes them: u = 0 where the catalogue has it, at the mean epoch."""
    sim = reduced.simulated
    n = len(sim.mjd)
    u = sim.star_u[s] + sim.years.mean() * sim.star_motion[s]
    place = np.array([w(u) for w in reduced.wcs])
    psf = tuple(m.at(p).widened(widen) for m, p in zip(reduced.psf, place, strict=True))
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
