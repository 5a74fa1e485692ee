"""What masters of a real-size CCD cost, and the verdicts and bad pixels that come with them.

    python -m benchmarks.masters

The table is that of `benchmarks.detrend`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.io import fits

from benchmarks.detrend import QIDS, RECIPE, ZTF, Stage, run_all
from ztf_in2p3.detrend.bad_pixels import bad_pixel_masks
from ztf_in2p3.detrend.ccd_master import CcdMaster
from ztf_in2p3.detrend.compare import compare
from ztf_in2p3.detrend.masters import combine_leds, led_flat, master_bias
from ztf_in2p3.frames import RawCcd
from ztf_in2p3.sensor.readout import Readout

N_FRAME, N_FLAT, N_LED, N_MANY = 10, 3, 4, 200


def bias(folder: Path) -> Callable[[], dict]:
    return stacking(folder, "median")


def bias_mean(folder: Path) -> Callable[[], dict]:
    return stacking(folder, "mean")


def stacking(folder: Path, combine: str) -> Callable[[], dict]:
    def run() -> dict:
        made = master_bias(sorted(folder.glob("bias*.fz")), ZTF, 3, replace(RECIPE.bias, combine=combine))
        return {f"data{q}": made.data[q] for q in QIDS} | {f"count{q}": made.count[q] for q in QIDS}

    return run


def bias_written(folder: Path) -> Callable[[], dict]:
    def run() -> dict:
        master_bias(sorted(folder.glob("bias*.fz")), ZTF, 3, RECIPE.bias).write(folder / "master.fits")
        return {}

    return run


def bias_straight(folder: Path) -> Callable[[], dict]:
    return stacking_straight(folder, np.nanmedian)


def bias_mean_straight(folder: Path) -> Callable[[], dict]:
    return stacking_straight(folder, lambda kept, axis: np.nanmean(kept.astype(np.float64), axis).astype(np.float32))


def stacking_straight(folder: Path, average: Callable[..., np.ndarray]) -> Callable[[], dict]:
    """All frames of a quadrant in memory, numpy's functions."""

    def run() -> dict:
        made = {}
        for qid in QIDS:
            frames = []
            for path in sorted(folder.glob("bias*.fz")):
                with RawCcd.open(path, ZTF) as raw, fits.open(path) as hdus:
                    frames.append(Readout.of(raw, qid, RECIPE.sensor).linear(hdus[qid].data))
            ordered = np.sort(frames, axis=0)
            keep = np.abs(ordered - np.median(ordered, axis=0).astype(np.float64))
            keep = keep <= RECIPE.bias.clip * np.std(ordered, axis=0, dtype=np.float64)
            made[f"data{qid}"] = average(np.where(keep, ordered, np.float32(np.nan)), axis=0)
            made[f"count{qid}"] = keep.sum(axis=0).astype(np.uint16)
        return made

    return run


def bias_of_many(folder: Path) -> Callable[[], dict]:
    """The same frames again and again, under other names."""
    several = folder / "many"
    several.mkdir(exist_ok=True)
    for i in range(N_MANY):
        (several / f"bias{i:03d}.fits.fz").hardlink_to(folder / f"bias{i % N_FRAME:02d}.fits.fz")

    def run() -> dict:
        master_bias(sorted(several.glob("bias*.fz")), ZTF, 3, RECIPE.bias).write(folder / "many.fits")
        return {}

    return run


def flat_of_a_led(folder: Path) -> Callable[[], dict]:
    def run() -> dict:
        with CcdMaster.open(folder / "bias.fits", ZTF) as bias:
            led_flat(sorted(folder.glob("flat*.fz")), bias, ZTF, 3, RECIPE.flat.led).write(folder / "led.fits")
        return {}

    return run


def flat_of_leds(folder: Path) -> Callable[[], dict]:
    def run() -> dict:
        with ExitStack() as stack:
            leds = [stack.enter_context(CcdMaster.open(folder / "led.fits", ZTF)) for _ in range(N_LED)]
            combine_leds(leds, RECIPE.flat).write(folder / "leds.fits")
        return {}

    return run


def comparison(folder: Path) -> Callable[[], dict]:
    def run() -> dict:
        with CcdMaster.open(folder / "leds.fits", ZTF) as new, CcdMaster.open(folder / "led.fits", ZTF) as old:
            compare(new, old, floor=0.002)
        return {}

    return run


def bad(folder: Path) -> Callable[[], dict]:
    def run() -> dict:
        with CcdMaster.open(folder / "master.fits", ZTF) as bias, CcdMaster.open(folder / "leds.fits", ZTF) as flat:
            bad_pixel_masks(sorted(folder.glob("bias*.fz")), bias, flat, ZTF, RECIPE.bad_pixel_map)
        return {}

    return run


STAGES: list[Stage] = [
    (f"master bias of {N_FRAME}, in memory", bias, 2),
    ("  straightforward numpy and astropy", bias_straight, 1, ("bias", "")),
    (f"master bias of {N_FRAME}, the clipped mean", bias_mean, 2),
    ("  straightforward numpy and astropy", bias_mean_straight, 1, ("bias_mean", "")),
    (f"master bias of {N_FRAME}, written", bias_written, 2),
    (f"flat of a LED of {N_FLAT}, written", flat_of_a_led, 1),
    (f"flat of {N_LED} LEDs, written", flat_of_leds, 1),
    (f"master bias of {N_MANY}, written", bias_of_many, 1),
    ("comparison of two masters", comparison, 1),
    ("bad pixels", bad, 1),
]


if __name__ == "__main__":
    run_all([*(f"bias{i:02d}" for i in range(N_FRAME)), *(f"flat{i:02d}" for i in range(N_FLAT))], STAGES)
