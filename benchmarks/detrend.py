"""What a real-size CCD costs from raw files to masters and detrended quadrants.

    python -m benchmarks.detrend

Prints CPU seconds (one thread), the same in units of D, the RICE decoding of one CCD's eight
HDUs by astropy, and the peak memory of each stage in a process of its own; next to the
straightforward numpy way, whose results must be the same.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.io import fits

from ztf_in2p3.camera import ZTF
from ztf_in2p3.detrend.ccd_master import CcdMaster
from ztf_in2p3.detrend.quadrant import detrend_quadrants
from ztf_in2p3.detrend.radiation_hits import mark_radiation_hits
from ztf_in2p3.frames import RawCcd
from ztf_in2p3.image import Image, MaskBit
from ztf_in2p3.recipes import QuadrantRecipe
from ztf_in2p3.sensor.equilibrium import NODES, Equilibrium
from ztf_in2p3.sensor.readout import Pockets, Readout
from ztf_in2p3.simulate.psf import draw_stars

RECIPE = QuadrantRecipe()
QIDS = range(1, 5)

Prepare = Callable[[Path], Callable[[], dict]]
"""From the folder of the files to what is measured, which returns arrays to compare."""
Stage = tuple
"""Label, what to measure, how often, and with which earlier ones to compare the result."""


def synthesise(folder: Path, names: Sequence[str]) -> None:
    """Raw files, by what their names begin with: bias, flat, else a sky of 400 ADU, with or without a pocket."""
    rng = np.random.default_rng(1)
    pattern = [rng.normal(60, 5, ZTF.shape).astype(np.float32) for _ in QIDS]
    levels = {"bias": (0, 1.5), "flat": (20_000, 58)}
    for name in names:
        sky, noise = levels.get(name[:4], (400, 8.3))
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
    count = {qid: np.full(ZTF.shape, 10, np.uint16) for qid in QIDS}
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


def detrend_packed(folder: Path) -> Callable[[], dict]:
    return detrending(folder / "science.fits.fz", *packed(folder))


def detrend_power_law(folder: Path) -> Callable[[], dict]:
    return detrending(folder / "pocket.fits.fz", *packed(folder))


def detrend_equilibrium(folder: Path) -> Callable[[], dict]:
    held = Equilibrium((40 * (NODES.astype(float) / 100) ** 0.35).astype(np.float32))
    return detrending(folder / "pocket.fits.fz", *packed(folder), pocket="equilibrium", pockets=lambda raw, qid: held)


def packed(folder: Path) -> list[CcdMaster]:
    """Masters in memory as who detrends many exposures of one CCD keeps them."""
    made = []
    for name in ("bias", "flat"):
        with CcdMaster.open(folder / f"{name}.fits", ZTF) as master:
            made.append(master.packed())
    return made


def detrending(
    path: Path, bias: CcdMaster, flat: CcdMaster, *, pocket: str = "powerlaw", pockets: Pockets | None = None
) -> Callable[[], dict]:
    """Quadrants one after the other, as a catalogue takes them."""
    headers, recipe = {qid: fits.Header() for qid in QIDS}, with_pocket(pocket)

    def run() -> dict:
        made = {}
        for qid, image, _ in detrend_quadrants(path, bias, flat, 20_400.0, headers, {}, ZTF, recipe, pockets=pockets):
            if qid == 1:  # to compare; a part, so as not to count as memory of the detrending
                made = {"data": image.data[:200].copy(), "variance": image.variance[:200].copy()}
            del image  # before the next one is made
        return made

    return run


def detrend_from_files(folder: Path) -> Callable[[], dict]:
    """Masters read plane by plane, as tasks do, and no pocket."""

    def run() -> dict:
        with (
            CcdMaster.open(folder / "bias.fits", ZTF) as bias,
            CcdMaster.open(folder / "flat.fits", ZTF) as flat,
        ):
            return detrending(folder / "science.fits.fz", bias, flat)()

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
                    made = {"data": image[:200], "variance": variance[:200]}
        return made

    return run


def radiation_hits(_folder: Path) -> Callable[[], dict]:
    """Four quadrants of sky, 4000 stars on each."""
    draw = np.random.default_rng(3)
    x, y = draw.uniform(0, ZTF.shape[1], 4000), draw.uniform(0, ZTF.shape[0], 4000)
    light = 400 + draw_stars(ZTF.shape, x, y, 100 * (1 - draw.random(4000)) ** (-1 / 0.7), 2.0)
    variance = light / 6 + np.float32(2.3)
    data = light + np.sqrt(variance) * draw.standard_normal(ZTF.shape, np.float32)
    image = Image(data, variance, np.where(data > 58_000, np.uint16(MaskBit.SATURATED), np.uint16(0)))

    def run() -> dict:
        for _ in QIDS:
            mark_radiation_hits(image)
        return {}

    return run


def measured(prepare: Prepare, folder: Path, repeat: int) -> tuple[float, float]:
    """Least CPU seconds of some runs, and peak memory of the process in GB; results in a file of the stage's name."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure, (prepare, folder, repeat))


def _measure(prepare: Prepare, folder: Path, repeat: int) -> tuple[float, float]:
    run = prepare(folder)
    seconds = []
    for _ in range(repeat):
        start = time.process_time()
        made = run()
        seconds.append(time.process_time() - start)
    peak = peak_gb()
    np.savez(folder / f"{prepare.__name__}.npz", **made)
    return min(seconds), peak


def peak_gb() -> float:
    """Of this process since it began; what `resource` tells is that of its parent too."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1e6


def difference(folder: Path, one: str, other: str) -> str:
    with np.load(folder / f"{one}.npz") as a, np.load(folder / f"{other}.npz") as b:
        if all(np.array_equal(a[key], b[key], equal_nan=True) for key in a):
            return "bit-identical"
        return f"relative difference {max(np.max(np.abs(a[key] / b[key] - 1)) for key in a):.0e}"


def run_all(frames: Sequence[str], stages: Sequence[Stage]) -> None:
    """Print the table of some stages, on those frames and two masters."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        synthesise(folder, ["science", *frames])
        measured(write_masters, folder, 1)
        unit, peak = measured(decode, folder, 5)
        print(f"{'stage':52} {'CPU s':>7} {'D':>6} {'GB':>5}")
        print(f"{'RICE decoding of a CCD by astropy (D)':52} {unit:7.2f} {1:6.2f} {peak:5.2f}")
        for label, prepare, repeat, *compared in stages:
            seconds, peak = measured(prepare, folder, repeat)
            print(f"{label:52} {seconds:7.2f} {seconds / unit:6.2f} {peak:5.2f}", flush=True)
            for other, why in compared:
                print(f"    {difference(folder, prepare.__name__, other)}{why}")


STAGES: list[Stage] = [
    ("  ours", decode_ours, 5),
    ("raw to four quadrants, no pocket", detrend, 5),
    ("  straightforward numpy and astropy", detrend_straight, 2, ("detrend", "")),
    ("  masters packed in memory", detrend_packed, 5, ("detrend_straight", ": the masters' files and packing")),
    ("  masters read from their files", detrend_from_files, 2, ("detrend_packed", ": the packing")),
    ("raw to four quadrants, equilibrium pocket, packed", detrend_equilibrium, 5),
    ("raw to four quadrants, power-law pocket, packed", detrend_power_law, 5),
    ("radiation hits of four quadrants", radiation_hits, 5),
]


if __name__ == "__main__":
    run_all(["pocket"], STAGES)
