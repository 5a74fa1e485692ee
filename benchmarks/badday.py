"""Bad days: fault x product -> right, refused or SILENT, with the figure.

    python -m benchmarks.badday [seeds]

Each row is a fault of `ztf_in2p3.simulate.frame_faults` on small frames of a detector whose truth is known.  "right":
the bad frames are named and left out, and what is made of the others is the truth within its errors.  "refused": the
quadrant, or the whole, says why it does not serve.  "SILENT" must not occur.  The figure is the rms of (product -
truth) over its error, of the worst quadrant that serves, over all seeds: 1 if right.
"""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np

from tests.lib.detrend.bad_frames import SILENT, Cell, bias_cell, flat_cell, science_cell, series
from tests.lib.detrend.conftest import RECIPE
from tests.lib.detrend.raw_files import QIDS
from tests.lib.detrend.test_quadrant import science_header
from ztf_in2p3.camera import TINY
from ztf_in2p3.detrend.masters import combine_leds, led_flat, master_bias
from ztf_in2p3.simulate.frame_faults import BIAS_FAULTS, FLAT_FAULTS, SCIENCE_FAULTS

N_SEED = 3
SKY_ADU = 300.0


def cells_of(seed: int, folder: Path) -> list[Cell]:
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


def main(n_seed: int) -> int:
    """Print the matrix; 1 if a cell is silent, or not what the fault's truth allows."""
    matrix: dict[tuple[str, str], list[Cell]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(20190405, 20190405 + n_seed):
            for cell in cells_of(seed, Path(folder)):
                matrix[cell.product, cell.fault].append(cell)
    print(f"{'product':10}{'fault':26}{'outcome':10}{'pull':>6}  reason")
    wrong = 0
    for (product, fault), cells in matrix.items():
        outcomes = sorted({cell.outcome for cell in cells})
        wrong += any(cell.outcome in (SILENT, "") or cell.outcome != cell.expected for cell in cells)
        pulls = [cell.pull for cell in cells if np.isfinite(cell.pull)]
        pull = f"{max(pulls):6.2f}" if pulls else "     -"
        print(f"{product:10}{fault:26}{'/'.join(outcomes):10}{pull}  {cells[0].reason[:110]}")
    print(f"{len(matrix)} faults, {n_seed} seeds, {wrong} not as they must be")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else N_SEED))
