"""How near the truth a CCD of real size comes: all four quadrants, from raw files to star fluxes.

    python -m benchmarks.truth

Simulates 6 bias frames, 2 LEDs x 2 flats and an exposure (2 minutes), reduces them with everything
in memory, and prints what is left between result and truth, beside what statistics expect; CPU seconds
(one thread) and the peak memory of the reduction.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.truth.comparison import compare
from tests.truth.photometry import BRIGHT, MMAG, RADII, RECIPE, Photometry, photometry
from tests.truth.reduction import QIDS, Reduced, measure, median_variance, reduce_night, write_raws
from ztf_in2p3.frames import RawCcd
from ztf_in2p3.identifiers import Quadrant
from ztf_in2p3.recipes import SensorRecipe
from ztf_in2p3.sensor.readout import Readout
from ztf_in2p3.simulate import chain, files
from ztf_in2p3.simulate.exposures import NightPlan, real_size_night
from ztf_in2p3.simulate.reference import write_reference
from ztf_in2p3.simulate.survey import reference_cones

CCD = 3


def simulate(plan: NightPlan, tree: Path) -> float:
    """CPU seconds."""
    start = time.process_time()
    write_raws(plan, tree)
    write_reference(plan.sky, tree / "reference", reference_cones(plan))
    return time.process_time() - start


def offsets(night: Reduced) -> dict[int, float]:
    """Rms over rows and frames of (offset found - true), ADU, by qid."""
    squares: dict[int, list[float]] = {qid: [] for qid in QIDS}
    for ccd in night.plan.ccd_exposures:
        with RawCcd.open(night.tree / files.raw_path(ccd), night.plan.camera) as raw:
            for qid in QIDS:
                true = chain.amplifier(night.plan, Quadrant(CCD, qid)).offset + night.truth.offset_drift(ccd, qid)
                squares[qid].append(float(np.mean((Readout.of(raw, qid, SensorRecipe()).offset - true) ** 2)))
    return {qid: float(np.sqrt(np.mean(all_))) for qid, all_ in squares.items()}


def show_masters(night: Reduced) -> None:
    [(filter, _)] = night.flat
    truth, n_bias = night.truth, len(night.plan.biases)
    print("\nmaster            mean - truth      rms  expected   columns' means: rms  expected")
    for qid in QIDS:
        stage = chain.amplifier(night.plan, Quadrant(CCD, qid))
        error = night.bias[CCD].data[qid].astype(float) - truth.bias(CCD, qid)
        expected = np.sqrt(median_variance(n_bias)) * stage.read_noise / stage.gain
        column, alone = error.mean(axis=0).std(), error.std() / np.sqrt(len(error))
        print(
            f"bias q{qid}, ADU     {error.mean():+10.4f} {error.std():10.4f} {expected:9.4f} "
            f"{column:17.4f} {alone:9.4f}"
        )
    for qid in QIDS:
        true = truth.flat(filter, CCD, qid)
        error = (night.flat[filter, CCD].data[qid] / true.astype(float) - 1)[np.isfinite(true)] * 1000
        print(f"flat q{qid}, permille{error.mean():+10.4f} {error.std():10.4f}")
    norm, true_norm = float(night.flat[filter, CCD].value("FLTNORM")), truth.levels(filter).fltnorm(CCD)
    level, true_level = night.level[filter], truth.levels(filter).focal_plane
    print(f"FLTNORM {norm / true_norm - 1:+.1e}, FLTNORM_FP {level / true_level - 1:+.1e} of the truth")


def show_images(night: Reduced) -> None:
    offset = offsets(night)
    print("\nimage  mean - truth, ADU  expected      rms  expected   ratio   pulls   offset rms, ADU")
    for _, qid, one in compare(night):
        rms, expected = one.error.std(), np.sqrt(one.variance.mean())
        print(
            f"q{qid}     {one.error.mean():+17.4f} {one.mean_error:9.4f} {rms:8.4f} {expected:9.4f} "
            f"{rms / expected:7.4f} {one.pull.std():7.4f} {offset[qid]:12.4f}"
        )


def show_stars(stars: Photometry) -> None:
    print("\nisolated stars  radius, pix      n  bias, mmag    error   mean pull    error   pulls' std   error")
    bright = stars.total > BRIGHT
    for label, chosen in ((f"over {BRIGHT:.0f} ADU", bright), ("below", ~bright)):
        some = stars.take(chosen)
        n = len(some.total)
        for k, radius in enumerate(RADII):
            weight = (some.true / some.error)[:, k] ** 2
            bias = MMAG * np.average((some.flux / some.true - 1)[:, k], weights=weight)
            pull = some.pull[:, k]
            print(
                f"{label:15} {radius:11g} {n:6} {bias:+11.3f} {MMAG / np.sqrt(weight.sum()):8.3f} "
                f"{pull.mean():+11.3f} {pull.std() / np.sqrt(n):8.3f} {pull.std():12.3f} {1 / np.sqrt(2 * n):7.3f}"
            )


def main() -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    plan = real_size_night(CCD, n_bias=6, n_flat=2, n_object=1)
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch)
        with multiprocessing.get_context("spawn").Pool(1) as pool:  # its memory is not the reduction's
            print(f"simulating {len(plan.frames)} frames: {pool.apply(simulate, (plan, tree)):.0f} CPU s", flush=True)
        start = time.process_time()
        night = reduce_night(tree, plan)
        reduced = time.process_time()
        [(ccd, images)] = night.images.items()
        catalogue = measure(tree, plan, ccd, images, RECIPE)
        measured = time.process_time()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"masters and images: {reduced - start:.1f} CPU s; catalogue of {catalogue.num_rows} stars: "
              f"{measured - reduced:.1f} CPU s; peak memory {peak:.2f} GB")  # fmt: skip
        show_masters(night)
        show_images(night)
        hot = {qid: chain.dark_rate(plan, Quadrant(CCD, qid)) > 0 for qid in QIDS}
        show_stars(photometry(night.truth, {ccd: catalogue}, {ccd: night.truth.stars(ccd)}, spoilt=hot))


if __name__ == "__main__":
    main()
