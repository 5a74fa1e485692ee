"""What the light curve of a transient costs: CPU, memory, and the difference to a dense straightforward solve.

    python -m benchmarks.scene            10, 100 and 1000 exposures, stamps of 15, 19 and 31 pixels
    python -m benchmarks.scene quick      without 1000 exposures of 31 pixels
    python -m benchmarks.scene psf        what a PSF costs, and how right the light curves are that come of it

Every case runs in a process of its own, one thread; compiled code is warm.  The dense solve has one column for each
galaxy node and each parameter of each exposure, and runs where its matrix stays below 1 GB.
"""

from __future__ import annotations

import os

os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1")

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from tests.lib.scene.dense import dense_solve
from tests.lib.scene.reduce import reduce
from ztf_in2p3.psf.model import Psf
from ztf_in2p3.recipes import SceneRecipe
from ztf_in2p3.scene import solve
from ztf_in2p3.scene.design import Design, Nodes
from ztf_in2p3.scene.fit import fit_scene
from ztf_in2p3.scene.model import Series
from ztf_in2p3.simulate.transient import TransientPlan, simulate_transient

DENSE_BYTES = 1e9


def made(n: int, side: int) -> Series:
    """A noisy series; the fitted PSFs are Moffats with a residual map, about as wide as the true ones."""
    simulated = simulate_transient(TransientPlan(n_exposure=n, n_quiet=n - max(n // 5, 2), side=side, n_star=1))
    residual = np.zeros((27, 27))
    psf = tuple(Psf(Psf.round_moffat(1.1 * width, 3.5).moffat, residual, 0.7) for width in simulated.seeing)
    none = np.zeros(n)
    return Series(
        simulated.mjd, simulated.data.astype(np.float32), np.zeros(simulated.data.shape, bool), simulated.variance,
        none + 6.0, psf, simulated.true_place - simulated.corner, simulated.true_matrix, none, simulated.throughput,
        none + 0.001, simulated.active,
    )  # fmt: skip


def peak() -> float:
    """GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def fast_and_dense(n: int, side: int) -> None:
    recipe = SceneRecipe(clip=1e9)
    series = made(n, side)
    few = made(4, side)
    fit_scene(few, recipe)  # compiled, loaded
    before, start = peak(), time.process_time()
    with timed(solve.Noise, "take") as spent:
        fit = fit_scene(series, recipe)
    cpu, memory = time.process_time() - start, peak()
    start = time.process_time()
    fit_scene(replace(series, active=series.active), SceneRecipe())
    clipped = time.process_time() - start
    line = (
        f"{n:5d} x {side}: {cpu:7.2f} CPU s, {spent[0]:.2f} of them for the covariance; with rejection {clipped:7.2f}; "
        f"peak {memory:.2f} GB, {before:.2f} before"
    )

    nodes = Nodes.covering(series, recipe.step, recipe.margin)
    size = len(nodes) + 2 + 5 * n
    if 8 * n * (side**2 + 4) * size < DENSE_BYTES:
        design = Design(series, nodes, np.arange(n))
        images = [design.draw(i).copy() for i in range(n)]
        start = time.process_time()
        flux, covariance, _, _ = dense_solve(
            series, nodes.u, recipe.step, recipe.ridge, fit.position, fit.galaxy.ravel(), np.nan_to_num(fit.flux),
            recipe.position_error, np.ones(series.data.shape, bool), images=images,
        )  # fmt: skip
        slow = time.process_time() - start
        error = np.sqrt(np.diag(covariance))
        off = np.abs(fit.flux[series.active] - flux).max() / error.min()
        spread = np.abs(fit.error[series.active] / error - 1).max()
        line += f"; one dense solve {slow:7.2f} CPU s, peak {peak():.2f} GB: fluxes differ by {off:.1e} sigma, "
        line += f"errors by {spread:.1e}"
    print(line, flush=True)


@contextmanager
def timed(owner: type, name: str) -> Iterator[list[float]]:
    """CPU seconds spent in a method."""
    spent, method = [0.0], getattr(owner, name)

    def run(*args: object) -> object:
        start = time.process_time()
        try:
            return method(*args)
        finally:
            spent[0] += time.process_time() - start

    setattr(owner, name, run)
    yield spent
    setattr(owner, name, method)


STARS = {"n_star": 200, "star_mags": (14.0, 18.0), "star_slope": 0.25}
"""Alone, in a quadrant near the Galactic poles, fewer than there are."""


def psf_and_truth(n: int = 24) -> None:
    """From noise-free and from noisy stars; another PSF family than the fitted one."""
    mmag = 2500 / np.log(10)
    for title, plan in {
        "noise-free": TransientPlan(n, n // 2, noise=False),
        "noise-free, one PSF per quadrant": TransientPlan(n, n // 2, noise=False, gradient=0.0),
        "noisy stars": TransientPlan(n, n // 2, **STARS),
        "noisy stars, a width that bends by 2 %": TransientPlan(n, n // 2, curvature=0.02, **STARS),
    }.items():
        simulated = simulate_transient(plan)
        start = time.process_time()
        reduced = reduce(simulated)
        each = (time.process_time() - start) / n
        print(
            f"{title}: PSF, WCS, ratios {each:.2f} CPU s an exposure, {plan.n_star} stars; errors of the ratios "
            f"{mmag * np.mean(reduced.ratios.error):.2f} mmag"
        )
        for host_mag in (16.5, 18.0, None):
            exact = simulate_transient(replace(plan, noise=False, host_mag=host_mag, n_star=1))
            for step in (1.0, 0.75):
                fit = fit_scene(replace(reduced.series, data=exact.data), SceneRecipe(step=step))
                true, flux = exact.flux[fit.measured], fit.flux[fit.measured]
                off, sigma = (flux - true) / true.max(), np.median(fit.error[fit.measured]) / true.max()
                print(
                    f"   host {host_mag}, step {step}: amplitude {mmag * (flux @ true / (true @ true) - 1):+.2f} mmag "
                    f"dates, mmag of the peak: worst {mmag * np.abs(off).max():.2f}, rms {mmag * np.std(off):.2f}, "
                    f"errors with photons {mmag * sigma:.0f}",
                    flush=True,
                )


def alone(work: Callable[..., None], *what: int) -> None:
    process = multiprocessing.get_context("spawn").Process(target=work, args=what)
    process.start()
    process.join()


if __name__ == "__main__":
    if "psf" in sys.argv:
        psf_and_truth()
    else:
        for side in (15, 19, 31):
            for n in (10, 100, 1000):
                if not ("quick" in sys.argv and n == 1000 and side == 31):
                    alone(fast_and_dense, n, side)
