"""Healthy masters that are called suspect: how many of so many.

    python -m benchmarks.false_verdicts [CCDs]

Each CCD has a bias of ten frames and a flat of four, made of raw files of small quadrants by the functions that the
flows call: frames are checked, stacked, and each of the four quadrants is judged by itself and against the masters of
the days before.  The detector drifts as a healthy one does: 0.2 ADU of its bias and a thousandth of its lamp's gradient
from day to day.  At most one quadrant in a thousand may be called unfit, and one frame in a thousand be left out.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tests.lib.detrend.conftest import RECIPE
from tests.lib.detrend.raw_files import QIDS, Detector
from ztf_in2p3.camera import TINY
from ztf_in2p3.detrend.ccd_master import CcdMaster
from ztf_in2p3.detrend.compare import compare
from ztf_in2p3.detrend.masters import led_flat, master_bias

CAMERA = replace(TINY, shape=(64, 96))
N_CCD = 250
N_BIAS, N_FLAT, LED = 10, 4, 2
DRIFT_ADU, DRIFT_SHARE = 0.2, 0.001
BEFORE = 2
"""Masters before it that a master is compared with."""


@dataclass
class Count:
    """Verdicts of one kind of masters."""

    quadrants: int = 0
    unfit: int = 0
    frames: int = 0
    left_out: int = 0

    def add(self, master: CcdMaster, before: list[CcdMaster], floor: float, n_frame: int) -> list[str]:
        """Judge a master; reasons against it."""
        verdict = compare(master, *reversed(before[-BEFORE:]), floor=floor)
        self.quadrants += len(master.data)
        self.unfit += len(verdict.unfit)
        self.frames += n_frame
        self.left_out += len(master.left_out)
        before.append(master)
        return [*(f"q{qid}: {why}" for qid, why in verdict.unfit.items()), *map(str, master.left_out.values())]


def drifted(detector: Detector, draw: np.random.Generator) -> None:
    """Let the detector be that of the next day."""
    column = np.linspace(-1, 1, CAMERA.shape[1])
    detector.bias = {q: plane + DRIFT_ADU * draw.normal() for q, plane in detector.bias.items()}
    tilt = 1 + DRIFT_SHARE * draw.normal() * column
    detector.leds = {LED: {q: plane * tilt for q, plane in detector.leds[LED].items()}}


def flats(detector: Detector, folder: Path, day: int, draw: np.random.Generator) -> list[Path]:
    """Flats of a day, whose lamp varies by a hundredth."""
    return [
        detector.expose(
            folder / detector.name(1000 * LED + i, "f", "zg"),
            100_000 + 100 * day + i,
            {q: 20_000 * factor * detector.leds[LED][q] for q in QIDS},
            keywords={"ILUM_LED": LED},
        )
        for i, factor in enumerate(1 + 0.01 * draw.normal(size=N_FLAT))
    ]


def main(n_ccd: int) -> int:
    """Print the rates; 1 if more than one quadrant in a thousand is unfit, or one frame in a thousand left out."""
    detector, draw = Detector(camera=CAMERA), np.random.default_rng(20190405)
    counts = {"bias": Count(), "LED flat": Count()}
    before: dict[str, list[CcdMaster]] = {name: [] for name in counts}
    quality = RECIPE.quality
    for day in range(n_ccd):
        drifted(detector, draw)
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            biases = [detector.expose(folder / detector.name(i), 100 * day + i) for i in range(N_BIAS)]
            bias = master_bias(biases, CAMERA, detector.ccdid, RECIPE.bias)
            flat = led_flat(flats(detector, folder, day, draw), bias, CAMERA, detector.ccdid, RECIPE.flat.led)
            flat = replace(flat, variance={q: flat.variance[q] for q in QIDS})
            bias = replace(bias, variance={q: bias.variance[q] for q in QIDS})
        reasons = counts["bias"].add(bias, before["bias"], quality.bias_floor, N_BIAS)
        reasons += counts["LED flat"].add(flat, before["LED flat"], quality.flat_floor, N_FLAT)
        for reason in reasons:
            print(f"day {day}: {reason}")
    failed = False
    for name, count in counts.items():
        print(
            f"{name}: {count.unfit} of {count.quadrants} quadrants unfit, {count.left_out} of {count.frames} frames out"
        )
        failed |= count.unfit > max(count.quadrants / 1000, 1) or count.left_out > max(count.frames / 1000, 1)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else N_CCD))
