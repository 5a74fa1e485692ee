"""Cost and accuracy of the full starflat, with the direct solution of all parameters beside it.

    python -m benchmarks.fit                  1e5, 1e6 and 1e7 measurements
    python -m benchmarks.fit 1e5              the smallest only
    python -m benchmarks.fit 1e6 --scipy 1e6  scipy's direct solution at 1e6 as well: minutes and gigabytes

The direct solution of all parameters stands beside it: scipy's, and CHOLMOD's where scikit-sparse is installed.
CPU seconds of one thread; memory is the peak of the process over what it held with the table loaded.
Every measurement is made in a process of its own.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sparse
from scipy.sparse.linalg import splu

from ztf_in2p3.camera import TINY, ZTF
from ztf_in2p3.fit.results import Fit
from ztf_in2p3.fit.sources import ParquetSource
from ztf_in2p3.fit.table import on_disk
from ztf_in2p3.recipes import RobustRecipe, StarflatRecipe
from ztf_in2p3.simulate.measurements import dithered_sequence, star_measurements
from ztf_in2p3.starflat.model import fit_starflat

EXPOSURES = 60
ROWS_PER_STAR = 25.45
"""Of the simulated sequence, stars at the edge included."""


def simulate(size: int, path: Path) -> None:
    n_star = int(size / ROWS_PER_STAR)
    table, truth = star_measurements(ZTF, dithered_sequence(EXPOSURES, ZTF), n_star, seed=1)
    pq.write_table(table, path / "table.parquet")
    vector = [truth.zero_point, truth.map.ravel(), truth.colour_map.ravel(), [truth.airmass_coefficient]]
    np.savez(path / "truth.npz", vector=np.concatenate(vector), outlier=truth.outlier, variable=truth.variable)
    table, _ = star_measurements(ZTF, dithered_sequence(EXPOSURES, ZTF), 300, seed=2)
    (path / "few").mkdir()
    pq.write_table(table, path / "few" / "table.parquet")


def load(path: Path) -> pa.Table:
    """In one piece, as a memory-mapped or freshly written table would be."""
    return pq.read_table(path / "table.parquet").combine_chunks()


class Meter:
    """CPU seconds, and peak of resident memory, since it was made."""

    def __init__(self) -> None:
        pa.default_memory_pool().release_unused()
        ctypes.CDLL(None).malloc_trim(0)  # what was freed before must not be had for nothing
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
        self.held, self.private, self.begin = self._memory("VmRSS"), self._memory("RssAnon"), time.process_time()

    def read(self) -> tuple[float, int]:
        return time.process_time() - self.begin, self._memory("VmHWM") - self.held

    @staticmethod
    def _memory(field: str) -> int:
        line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(field))
        return int(line.split()[1]) * 1024


def compile_passes() -> None:
    """Compiled code is kept on disk after the first run; loading it is no part of a solution."""
    table, _ = star_measurements(TINY, dithered_sequence(10, TINY), 300)
    fit_starflat(table, TINY, StarflatRecipe(superpixels=2, robust=RobustRecipe(draws=8, method="iterative")))
    fit_starflat(table, TINY, StarflatRecipe(robust=RobustRecipe(draws=8, method="iterative")))


RECIPES = {
    "plain": RobustRecipe(clip=np.inf, variable=np.inf, draws=0),
    "robust": RobustRecipe(draws=0),
    "robust with errors": RobustRecipe(),
}


def run(path: Path, name: str) -> dict[str, object]:
    """The full starflat from a table sorted by star."""
    compile_passes()
    table = load(path)
    meter = Meter()
    fit = fit_starflat(table, ZTF, StarflatRecipe(robust=RECIPES[name])).fit
    cpu, memory = meter.read()
    out: dict[str, object] = {
        "rows": table.num_rows, "cpu_s": cpu, "bytes_per_row": memory / table.num_rows, "memory_mb": memory / 1e6,
        "iterations_last": fit.iterations, "rounds": fit.rounds, "chi2_per_dof": fit.chi2 / fit.dof,
    }  # fmt: skip
    if name == "robust with errors":
        out |= accuracy(table, np.load(path / "truth.npz"), fit)
    return {name: out}


def run_streamed(path: Path, name: str) -> dict[str, object]:
    """The same from Parquet files, with memory for a part of them.

    The libraries, and the code that few rows make them load, take more than the stream does.
    """
    imported = Meter().held
    stream(path / "few", name)
    meter = Meter()
    source, fit, disk = stream(path, name)
    cpu, memory = meter.read()
    return {f"{name}, streamed": {
        "rows": source.n_row, "stars": fit.model.n_star, "cpu_s": cpu, "memory_mb": memory / 1e6,
        "imports_mb": imported / 1e6, "with_compiled_code_mb": meter.held / 1e6,
        "with_everything_mb": (meter.held + memory) / 1e6, "of_it_not_of_files_mb": (meter.private + memory) / 1e6,
        "spool_bytes_per_row": disk / source.n_row, "iterations_last": fit.iterations, "rounds": fit.rounds,
        "chi2_per_dof": fit.chi2 / fit.dof,
    }}  # fmt: skip


def stream(path: Path, name: str) -> tuple[ParquetSource, Fit, int]:
    """What was read, its fit, and the bytes that were kept on disk."""
    source = ParquetSource(sorted(path.glob("*.parquet")))
    with tempfile.TemporaryDirectory(dir=path) as spool:
        fit = fit_starflat(source, ZTF, StarflatRecipe(robust=RECIPES[name]), build=on_disk(Path(spool))).fit
        return source, fit, sum(file.stat().st_size for file in Path(spool).iterdir())


def accuracy(table: pa.Table, known: Mapping[str, np.ndarray], fit: Fit) -> dict[str, object]:
    """Root mean square errors and pulls by family; what became of injected outliers and variable stars."""
    off, at = fit.vector - fit.gauge.project(known["vector"]), 0
    errors, pulls = {}, {}
    for name, family in fit.parameters.items():
        here, good = off[at : at + len(family.value)], np.isfinite(family.value)
        errors[name] = 1e3 * float(np.sqrt(np.mean(here[good] ** 2)))
        pulls[name] = float(np.sqrt(np.mean((here[good] / family.sigma[good]) ** 2)))
        at += len(family.value)
    star = (fit.stars.star_id - 4_000_000_000) // 7
    constant = np.isin(table["star_id"].to_numpy(), fit.stars.star_id[~fit.stars.variable & ~known["variable"][star]])
    true = np.flatnonzero(known["outlier"] & constant)
    found = fit.rejected[constant[fit.rejected]]
    seen = known["variable"][star] & (fit.stars.count + fit.stars.rejected >= 4)
    return {
        "rms_error_mmag": errors, "pull": pulls,
        "outliers_found": len(np.intersect1d(true, found)) / len(true),
        "rejected_in_vain": len(np.setdiff1d(found, true)) / len(found),
        "variables_found": int((seen & fit.stars.variable).sum()) / int(seen.sum()),
    }  # fmt: skip


def run_direct(path: Path, how: str) -> dict[str, object]:
    """All parameters, stars included, in one sparse matrix, factored by SuperLU (scipy) or CHOLMOD; no rejection."""
    compile_passes()
    table = load(path)
    meter = Meter()
    blocks, y, weight = design(table)
    weighted = sparse.diags_array(weight) @ blocks
    normal = sparse.csc_matrix(blocks.T @ weighted)
    diagonal = normal.diagonal()
    # A ridge takes the place of the gauge; empty cells get a diagonal of their own.
    normal = normal + sparse.diags_array(np.where(diagonal > 0, 1e-9 * diagonal, 1.0), format="csc")
    solve = DIRECT[how](normal)
    right = weighted.T @ y
    answer = solve(right)
    answer += solve(right - (blocks.T @ (weighted @ answer)))
    cpu, memory = meter.read()
    direct = {"cpu_s": cpu, "memory_mb": memory / 1e6, "bytes_per_row": memory / table.num_rows,
              "parameters": blocks.shape[1]}  # fmt: skip
    del solve, normal, weighted
    meter = Meter()
    fit = fit_starflat(table, ZTF, StarflatRecipe(plane="keep", robust=RECIPES["plain"])).fit
    cpu, memory = meter.read()
    vector = fit.gauge.project(answer[: len(fit.vector)])
    known = np.concatenate([np.isfinite(family.value) for family in fit.parameters.values()])
    return {f"direct, {how}": direct | {
        "rows": table.num_rows, "cpu_of_it_over_ours": direct["cpu_s"] / cpu,
        "memory_of_it_over_ours": direct["memory_mb"] * 1e6 / memory,
        "difference_of_data_mmag": 1e3 * float(np.abs(
            predicted(blocks, y, weight, answer[: len(vector)]) - predicted(blocks, y, weight, fit.vector)).max()),
        "difference_of_parameters_mmag": 1e3 * float(np.abs(vector - fit.vector)[known].max()),
    }}  # fmt: skip


def superlu(matrix: sparse.csc_matrix) -> Callable[[np.ndarray], np.ndarray]:
    return splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}).solve


def cholmod(matrix: sparse.csc_matrix) -> Callable[[np.ndarray], np.ndarray]:
    from sksparse.cholmod import cholesky

    return cholesky(matrix)


DIRECT = {"scipy": superlu, "cholmod": cholmod}


def predicted(blocks: sparse.csr_array, y: np.ndarray, weight: np.ndarray, p: np.ndarray) -> np.ndarray:
    """What the model says of every measurement, stars at their best magnitude given the other parameters."""
    model = blocks[:, : len(p)] @ p
    stars = blocks[:, len(p) :]
    return model + stars @ ((stars.T @ (weight * (y - model))) / (stars.T @ weight))


def design(table: pa.Table) -> tuple[sparse.csr_array, np.ndarray, np.ndarray]:
    """The design matrix written out, with magnitudes and weights."""
    t = {name: table[name].to_numpy() for name in table.column_names}
    n, (rows, columns) = table.num_rows, ZTF.shape

    def block(index: np.ndarray, size: int, value: np.ndarray | None = None) -> sparse.csr_array:
        return sparse.csr_array((np.ones(n) if value is None else value, (np.arange(n), index)), shape=(n, size))

    def cell(k: int) -> np.ndarray:
        i = np.minimum(((t["y"].astype(float) + 0.5) / rows * k).astype(int), k - 1)
        j = np.minimum(((t["x"].astype(float) + 0.5) / columns * k).astype(int), k - 1)
        return (t["rcid"].astype(int) * k + i) * k + j

    exposures, exposure = np.unique(t["exposure"], return_inverse=True)
    stars, star = np.unique(t["star_id"], return_inverse=True)
    colour = t["colour"].astype(float)
    blocks = [
        block(exposure, len(exposures)), block(cell(15), 14400), block(cell(2), 256, colour - colour.mean()),
        block(np.zeros(n, int), 1, t["airmass"].astype(float) - 1), block(star, len(stars)),
    ]  # fmt: skip
    weight = 1 / (t["mag_e"].astype(float) ** 2 + 0.005**2)
    return sparse.csr_array(sparse.hstack(blocks)), t["mag"], weight


def child(*arguments: str) -> dict[str, object]:
    command = [sys.executable, __file__, "--child", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=os.environ | ONE_THREAD)
    return json.loads(done.stdout)


ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", type=float, default=[1e5, 1e6, 1e7], help="measurements")
    parser.add_argument("--scipy", type=float, default=1e5, help="largest size solved directly by scipy; 0: none")
    parser.add_argument("--cholmod", type=float, default=1e6, help="by CHOLMOD, if scikit-sparse 0.4.16 is installed")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        what, how, folder = args.child
        if what == "simulate":
            simulate(int(how), Path(folder))
            print("{}")
        else:
            runs = {"run": lambda: run(Path(folder), how), "streamed": lambda: run_streamed(Path(folder), how),
                    "direct": lambda: run_direct(Path(folder), how)}  # fmt: skip
            print(json.dumps(runs[what]()))
        return
    for size in args.sizes:
        with tempfile.TemporaryDirectory() as folder:
            child("simulate", str(int(size)), folder)
            for name in RECIPES:
                report(child("run", name, folder))
            report(child("streamed", "robust", folder))
            for how, largest in (("scipy", args.scipy), ("cholmod", args.cholmod if find_spec("sksparse") else 0)):
                if size <= largest:
                    report(child("direct", how, folder))


def report(figures: dict[str, object], indent: str = "") -> None:
    for name, value in figures.items():
        if isinstance(value, dict):
            print(f"{indent}{name}")
            report(value, indent + "    ")
        else:
            print(f"{indent}{name:32s} {value:.5g}")


if __name__ == "__main__":
    main()
