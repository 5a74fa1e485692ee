"""Cost and accuracy of an ubercal of 360 exposures of the whole camera: 23 040 zero points.

    python -m benchmarks.survey            2.6 million measurements
    python -m benchmarks.survey 200000     of that many stars (60 000)

CPU seconds of one thread; memory is the peak over what the process held with the table loaded.
"""

from __future__ import annotations

import sys

import numpy as np
import pyarrow as pa

from benchmarks.fit import Meter, report
from ztf_in2p3.camera import TINY, ZTF
from ztf_in2p3.recipes import RobustRecipe, UbercalRecipe
from ztf_in2p3.simulate.measurements import Effects, Pointings, Truth, star_measurements, survey
from ztf_in2p3.ubercal.model import Ubercal, fit_ubercal

FIELDS, VISITS, STARS = 9, 40, 60_000
EFFECTS = Effects(quadrant_zero_point=0.004, map=0, colour_map=0, airmass=0)
DRAWS = 16


def compile_passes() -> None:
    table, _ = star_measurements(TINY, survey(2, 4, TINY), 300, EFFECTS)
    for kind in ("quadrant", "hierarchical"):
        robust = RobustRecipe(draws=8, method="iterative")
        fit_ubercal(table, TINY, UbercalRecipe(zero_points=kind, robust=robust))


def run(table: pa.Table, pointings: Pointings, truth: Truth, kind: str, draws: int) -> dict[str, object]:
    recipe = UbercalRecipe(zero_points=kind, residual_sigma=0.004, robust=RobustRecipe(draws=draws))
    passes: list[object] = []
    meter = Meter()
    solved = fit_ubercal(table, ZTF, recipe, progress=passes.append)
    cpu, memory = meter.read()
    zero, fit = solved.zero_points, solved.fit
    off = error(solved, pointings, truth)
    out = {
        "rows": table.num_rows, "zero_points": len(zero.value), "cpu_s": cpu, "bytes_per_row": memory / table.num_rows,
        "iterations": len(passes), "rounds": fit.rounds, "iterations_last": fit.iterations,
        "rms_error_mmag": 1e3 * float(np.sqrt(np.nanmean(off**2))),
    }  # fmt: skip
    if draws:
        out |= {
            "sigma_mmag": 1e3 * float(np.nanmedian(zero.sigma)),
            "pull": float(np.sqrt(np.nanmean((off / zero.sigma) ** 2))),
        }
    return out


def error(solved: Ubercal, pointings: Pointings, truth: Truth) -> np.ndarray:
    """Of the zero points of the largest component, its mean taken out; magnitudes."""
    zero, order = solved.zero_points, np.argsort(pointings.exposure)
    at = order[np.searchsorted(pointings.exposure[order], zero.exposure)]
    off = zero.value - truth.zero_point[at] - truth.quadrant_zero_point[at, zero.rcid]
    off = np.where(zero.component == np.argmax(np.bincount(zero.component[zero.component >= 0])), off, np.nan)
    return off - np.nanmean(off)


def main() -> None:
    n_star = int(float(sys.argv[1])) if len(sys.argv) > 1 else STARS
    compile_passes()
    pointings = survey(FIELDS, VISITS, ZTF, seed=1)
    table, truth = star_measurements(ZTF, pointings, n_star, EFFECTS, seed=1)
    table = table.combine_chunks()
    for kind in ("quadrant", "hierarchical"):
        for draws in (0, DRAWS):
            report({f"{kind}, {'with errors' if draws else 'robust'}": run(table, pointings, truth, kind, draws)})


if __name__ == "__main__":
    main()
