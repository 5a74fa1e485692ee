"""Bad days: fault x product -> right, flagged, refused or SILENT, with the figure.

    python -m benchmarks.badday [--seeds 3] [--page FILE] [frames] [tables] [series]

Each row is a fault of `ztf_in2p3.simulate`: of raw frames (`frame_faults`), of tables of measurements (`table_faults`),
of single exposures of an image series (`series_faults`), on data whose truth is known.  "right": what is bad is left
out, and the product is the truth within its errors.  "flagged": the product says what is wrong with it, or which part.
"refused": the quadrant, or the whole, says why it does not serve.  "SILENT" must not occur.  The figure is the rms of
(product - truth) over its error, of what serves without a flag, the worst of all seeds: 1 if right.  `--page` writes
the same as a page of the documentation.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from tests.lib.conftest import SMALL
from tests.lib.detrend.bad_frames import SILENT, Cell, bias_cell, flat_cell, science_cell, series
from tests.lib.detrend.conftest import RECIPE
from tests.lib.detrend.raw_files import QIDS
from tests.lib.detrend.test_quadrant import science_header
from tests.lib.fit.bad_tables import is_acceptable, table_cells
from tests.lib.scene.bad_series import series_cells
from tests.lib.scene.conftest import exact
from tests.lib.scene.reduce import reduce
from ztf_in2p3.camera import TINY
from ztf_in2p3.detrend.masters import combine_leds, led_flat, master_bias
from ztf_in2p3.simulate.frame_faults import BIAS_FAULTS, FLAT_FAULTS, SCIENCE_FAULTS
from ztf_in2p3.simulate.transient import simulate_transient

N_SEED = 3
SKY_ADU = 300.0


def frame_cells(seed: int, folder: Path) -> list[Cell]:
    """All cells of one detector."""

    def place() -> Path:
        return Path(tempfile.mkdtemp(dir=folder))

    sound = series(place(), seed)
    bias = master_bias(sound.biases, TINY, 3, RECIPE.bias)
    flat = combine_leds([led_flat(sound.flats, bias, TINY, 3, RECIPE.flat.led)], RECIPE.flat)
    light = {qid: SKY_ADU * sound.detector.leds[2][qid] for qid in QIDS}
    sky = sound.detector.expose(place() / sound.detector.name(1, "o", "zg"), 1, light)
    headers = {qid: science_header(qid) for qid in QIDS}
    return [
        *(bias_cell(sound, place(), name) for name in BIAS_FAULTS),
        *(flat_cell(sound, place(), name, bias) for name in FLAT_FAULTS),
        *(science_cell(sky, SKY_ADU, place(), name, bias, flat, headers) for name in SCIENCE_FAULTS),
    ]


def tables(seeds: Sequence[int]) -> list[Cell]:
    """Zero points of surveys and response maps of dithered nights."""
    return [cell for seed in seeds for cell in table_cells(seed)]


def series_of_images(seeds: Sequence[int]) -> list[Cell]:
    """Light curves of a transient of which an exposure is spoilt."""
    clean = exact(reduce(simulate_transient(replace(SMALL, noise=False))))
    return [cell for seed in seeds for cell in series_cells(clean, seed)]


def frames(seeds: Sequence[int]) -> list[Cell]:
    """Masters and images made of raw frames."""
    with tempfile.TemporaryDirectory() as folder:
        return [cell for seed in seeds for cell in frame_cells(20190404 + seed, Path(folder))]


PARTS: Mapping[str, Callable[[Sequence[int]], list[Cell]]] = {
    "frames": frames,
    "tables": tables,
    "series": series_of_images,
}
PAGE = """# Bad days

What comes of a product when its data are spoilt, fault by fault; written by `python -m benchmarks.badday --page`.
Seeds: {seeds}. *right*: what is bad is left out, and the product is the truth within its errors; *flagged*: the
product says what is wrong, or with which part of it; *refused*: there is no product, and the reason is told. The figure
is the rms of (product - truth) over its error, of what serves without a flag, the worst of all seeds.

| product | fault | outcome | figure | what is said |
| --- | --- | --- | --- | --- |
"""


def rows_of_matrix(cells: Sequence[Cell]) -> list[tuple[str, str, str, str, str]]:
    """Product, fault, outcomes, worst figure and what is said, of each fault."""
    matrix: dict[tuple[str, str], list[Cell]] = defaultdict(list)
    for cell in cells:
        matrix[cell.product, cell.fault].append(cell)
    rows = []
    for (product, fault), same in matrix.items():
        pulls = [cell.pull for cell in same if np.isfinite(cell.pull)]
        outcomes = "/".join(sorted({cell.outcome for cell in same}))
        rows.append((product, fault, outcomes, f"{max(pulls):.2f}" if pulls else "-", same[0].reason[:110]))
    return rows


def main(arguments: Sequence[str]) -> int:
    """Print the matrix; 1 if a cell is silent, or not what the fault's truth allows."""
    parser = argparse.ArgumentParser(prog="badday")
    parser.add_argument("--seeds", type=int, default=N_SEED)
    parser.add_argument("--page", type=Path)
    parser.add_argument("parts", nargs="*", default=list(PARTS))
    options = parser.parse_args(arguments)
    with threadpool_limits(1):
        cells = [cell for part in options.parts for cell in PARTS[part](range(1, options.seeds + 1))]
    rows = rows_of_matrix(cells)
    for product, fault, outcomes, pull, reason in rows:
        print(f"{product:10}{fault:30}{outcomes:16}{pull:>6}  {reason}")
    wrong = [cell for cell in cells if cell.outcome in (SILENT, "") or not is_acceptable(cell)]
    print(f"{len(rows)} faults, {options.seeds} seeds, {len(wrong)} cells not as they must be")
    if options.page:
        lines = ["| " + " | ".join(text.replace("|", "/") for text in row) + " |" for row in rows]
        options.page.write_text(PAGE.format(seeds=options.seeds) + "\n".join(lines) + "\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
