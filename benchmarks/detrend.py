"""What a real-size CCD costs from raw files to masters and detrended quadrants.

    python benchmarks/detrend.py

Prints CPU seconds (one thread), the same in units of D, the RICE decoding of one CCD's eight
HDUs by astropy, and the peak memory of each stage in a process of its own; next to the
straightforward numpy way, whose results must be the same.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.io import fits

from lib.camera import ZTF
from lib.detrend.ccd_master import CcdMaster
from lib.detrend.masters import master_bias
from lib.detrend.quadrant import detrend_quadrants
from lib.frames import RawCcd
from lib.recipes import QuadrantRecipe
from lib.sensor.equilibrium import NODES, Equilibrium
from lib.sensor.readout import Pockets, Readout

N_FRAME = 10
RECIPE = QuadrantRecipe()
QIDS = range(1, 5)


def synthesise(folder: Path) -> None:
    """Ten bias frames, one science frame before and one after the pocket began; bias pattern and sky of 400 ADU."""
    rng = np.random.default_rng(1)
    pattern = [rng.normal(60, 5, ZTF.shape).astype(np.float32) for _ in QIDS]
    for name in [*(f"bias{i:02d}" for i in range(N_FRAME)), "science", "pocket"]:
        sky, noise = (0, 1.5) if name.startswith("bias") else (400, 8.3)
        primary = fits.PrimaryHDU()
        primary.header["OBSMJD"] = 58944.4 if name == "pocket" else 58578.4
        hdus = [primary]
        for qid in QIDS:
            pixels = 1000 + sky + pattern[qid - 1] + noise * rng.standard_normal(ZTF.shape, np.float32)
            hdus.append(rice(pixels, qid))
        for qid in QIDS:
            hdus.append(rice(1000 + 1.5 * rng.standard_normal((ZTF.shape[0], 30), np.float32), qid))
        fits.HDUList(hdus).writeto(folder / f"{name}.fits.fz")


def rice(pixels: np.ndarray, qid: int) -> fits.CompImageHDU:
    hdu = fits.CompImageHDU(pixels, compression_type="RICE_1", tile_shape=(1, pixels.shape[1]), quantize_level=4)
    hdu.header.update({"CCD_ID": 3, "AMP_ID": qid - 1, "GAIN": 6.0, "READNOI": 9.0})
    return hdu


def masters() -> tuple[CcdMaster, CcdMaster]:
    """A bias and a flat that need not be computed."""
    rng = np.random.default_rng(2)
    data = {qid: rng.normal(1, 0.01, ZTF.shape).astype(np.float32) for qid in QIDS}
    variance = {qid: np.full(ZTF.shape, 1e-6, np.float32) for qid in QIDS}
    count = {qid: np.full(ZTF.shape, N_FRAME, np.uint16) for qid in QIDS}
    flat = CcdMaster(3, data, variance, count, {"FLTNORM": 20_000.0})
    bias = replace(
        flat, data={q: 60 * one for q, one in data.items()}, variance={q: 3e5 * v for q, v in variance.items()}
    )
    return bias, flat


def decode(folder: Path) -> Callable[[], dict]:
    def run() -> dict:
        with fits.open(folder / "science.fits.fz") as hdus:
            for index in range(1, 9):
                _ = hdus[index].data
                del hdus[index].data
        return {}

    return run


def decode_ours(folder: Path) -> Callable[[], dict]:
    def run() -> dict:
        with RawCcd.open(folder / "science.fits.fz", ZTF) as raw:
            for qid in QIDS:
                raw.pixels(qid)
                raw.overscan(qid)
        return {}

    return run


def detrend(folder: Path) -> Callable[[], dict]:
    return detrending(folder / "science.fits.fz", *masters())


def detrend_power_law(folder: Path) -> Callable[[], dict]:
    return detrending(folder / "pocket.fits.fz", *masters())


def detrend_equilibrium(folder: Path) -> Callable[[], dict]:
    held = Equilibrium((40 * (NODES.astype(float) / 100) ** 0.35).astype(np.float32))
    return detrending(folder / "pocket.fits.fz", *masters(), pocket="equilibrium", pockets=lambda raw, qid: held)


def detrending(
    path: Path, bias: CcdMaster, flat: CcdMaster, *, pocket: str = "powerlaw", pockets: Pockets | None = None
) -> Callable[[], dict]:
    """Quadrants one after the other, as a catalogue takes them."""
    headers, recipe = {qid: fits.Header() for qid in QIDS}, with_pocket(pocket)

    def run() -> dict:
        made = {}
        for qid, image, _ in detrend_quadrants(path, bias, flat, 20_400.0, headers, {}, ZTF, recipe, pockets=pockets):
            if qid == 1:  # to compare
                made = {"data": image.data, "variance": image.variance}
        return made

    return run


def detrend_from_files(folder: Path) -> Callable[[], dict]:
    """Masters read plane by plane, as tasks do, and the power law."""

    def run() -> dict:
        with (
            CcdMaster.open(folder / "bias.fits", ZTF) as bias,
            CcdMaster.open(folder / "flat.fits", ZTF) as flat,
        ):
            return detrending(folder / "pocket.fits.fz", bias, flat)()

    return run


def write_masters(folder: Path) -> Callable[[], dict]:
    def run() -> dict:
        for master, name in zip(masters(), ("bias", "flat"), strict=True):
            master.write(folder / f"{name}.fits")
        return {}

    return run


def with_pocket(model: str) -> QuadrantRecipe:
    bias = replace(RECIPE.bias, sensor=replace(RECIPE.sensor, pocket=model))
    flat = replace(RECIPE.flat, led=replace(RECIPE.flat.led, bias=bias))
    return replace(RECIPE, focal_plane=replace(RECIPE.focal_plane, flat=flat))


def detrend_straight(folder: Path) -> Callable[[], dict]:
    bias, flat = masters()

    def run() -> dict:
        made = {}
        with RawCcd.open(folder / "science.fits.fz", ZTF) as raw, fits.open(folder / "science.fits.fz") as hdus:
            for qid in QIDS:
                readout = Readout.of(raw, qid, RECIPE.sensor)
                x = hdus[qid].data - readout.offset[:, np.newaxis]
                light = x / (readout.linearity.a * x**2 + readout.linearity.b * x + 1) - bias.data[qid]
                image = light / flat.data[qid] * (20_400 / 20_000)
                noise = readout.read_noise**2 + np.maximum(light, 0) / readout.gain + bias.variance[qid]
                variance = noise * (20_400 / 20_000 / flat.data[qid]) ** 2
                variance += image**2 * flat.variance[qid] / flat.data[qid] ** 2
                if qid == 1:
                    made = {"data": image, "variance": variance}
        return made

    return run


def bias(folder: Path) -> Callable[[], dict]:
    def run() -> dict:
        made = master_bias(sorted(folder.glob("bias*.fz")), ZTF, 3, RECIPE.bias)
        return {f"data{q}": made.data[q] for q in QIDS} | {f"count{q}": made.count[q] for q in QIDS}

    return run


def bias_written(folder: Path) -> Callable[[], dict]:
    def run() -> dict:
        master_bias(sorted(folder.glob("bias*.fz")), ZTF, 3, RECIPE.bias).write(folder / "master.fits")
        return {}

    return run


def bias_straight(folder: Path) -> Callable[[], dict]:
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
            made[f"data{qid}"] = np.nanmedian(np.where(keep, ordered, np.float32(np.nan)), axis=0)
            made[f"count{qid}"] = keep.sum(axis=0).astype(np.uint16)
        return made

    return run


def measured(prepare: Callable[[Path], Callable[[], dict]], folder: Path, repeat: int) -> tuple[float, float]:
    """Least CPU seconds of some runs, and peak memory of the process in GB; results in a file of the stage's name."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure, (prepare, folder, repeat))


def _measure(prepare: Callable[[Path], Callable[[], dict]], folder: Path, repeat: int) -> tuple[float, float]:
    run = prepare(folder)
    seconds = []
    for _ in range(repeat):
        start = time.process_time()
        made = run()
        seconds.append(time.process_time() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    np.savez(folder / f"{prepare.__name__}.npz", **made)
    return min(seconds), peak


def difference(folder: Path, one: str, other: str) -> str:
    with np.load(folder / f"{one}.npz") as a, np.load(folder / f"{other}.npz") as b:
        if all(np.array_equal(a[key], b[key], equal_nan=True) for key in a):
            return "bit-identical"
        return f"relative difference {max(np.max(np.abs(a[key] / b[key] - 1)) for key in a):.0e}"


def main() -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        synthesise(folder)
        unit, peak = measured(decode, folder, 5)
        print(f"{'stage':44} {'CPU s':>7} {'D':>6} {'GB':>5}")

        def show(label: str, seconds: float, peak: float) -> None:
            print(f"{label:44} {seconds:7.2f} {seconds / unit:6.2f} {peak:5.2f}", flush=True)

        show("RICE decoding of a CCD by astropy (D)", unit, peak)
        show("  ours", *measured(decode_ours, folder, 5))
        show("raw to four quadrants, no pocket", *measured(detrend, folder, 5))
        show("  straightforward numpy and astropy", *measured(detrend_straight, folder, 2))
        print(f"  {difference(folder, 'detrend', 'detrend_straight')}")
        show("raw to four quadrants, equilibrium pocket", *measured(detrend_equilibrium, folder, 5))
        show("raw to four quadrants, power-law pocket", *measured(detrend_power_law, folder, 5))
        measured(write_masters, folder, 1)
        show("  and the masters read from their files", *measured(detrend_from_files, folder, 3))
        print(f"  {difference(folder, 'detrend_power_law', 'detrend_from_files')}: the masters' quantisation")
        show(f"master bias of {N_FRAME}, in memory", *measured(bias, folder, 2))
        show("  straightforward numpy and astropy", *measured(bias_straight, folder, 1))
        print(f"  {difference(folder, 'bias', 'bias_straight')}")
        show(f"master bias of {N_FRAME}, written", *measured(bias_written, folder, 2))


if __name__ == "__main__":
    main()
