"""What background and ten apertures cost for 8000 stars of a real-size CCD.

    python -m benchmarks.photometry

Prints CPU seconds (one thread), the same in units of D, the RICE decoding of one CCD's eight HDUs by
astropy, and the peak memory of each stage in a process of its own; next to the straightforward way, sigma
clipping by astropy and a call of sep for each radius, whose results must be the same.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import sep
from astropy.stats import sigma_clip
from numpy.typing import NDArray

from benchmarks.detrend import QIDS, decode, difference, measured, synthesise
from ztf_in2p3.camera import ZTF
from ztf_in2p3.catalogue.aperture_catalogue import measure_stars
from ztf_in2p3.catalogue.apertures import aperture_photometry
from ztf_in2p3.catalogue.background import mask_sources, measure_background
from ztf_in2p3.catalogue.mesh import cell_statistics
from ztf_in2p3.catalogue.sky_noise import SkyNoise, measure_noise
from ztf_in2p3.catalogue.stars import Stars
from ztf_in2p3.recipes import PhotometryRecipe
from ztf_in2p3.simulate.psf import draw_stars

RECIPE = PhotometryRecipe()
N_STAR = 8000
SKY, GAIN, READ_NOISE, FWHM = 400.0, 6.2, 1.45, 2.2
"""ADU, electrons per ADU, ADU, pixels."""
RMS = np.sqrt(SKY / GAIN + READ_NOISE**2)
BAD_PIXELS = 5000


@dataclass(frozen=True, eq=False)
class Quadrant:
    """A quadrant with its stars; four of them, one after the other, make a CCD."""

    data: NDArray[np.float32]
    variance: NDArray[np.float32]
    bad: NDArray[np.bool_]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    total: NDArray[np.float64]

    @classmethod
    def load(cls, folder: Path, name: str = "sparse") -> Quadrant:
        return cls(*(np.load(folder / f"{name}_{field.name}.npy") for field in fields(cls)))

    @property
    def masked(self) -> NDArray[np.bool_]:
        return self.bad | mask_sources(ZTF.shape, self.x, self.y, self.total, RMS)

    @property
    def stars(self) -> Stars:
        n = len(self.x)
        nothing, unknown = np.zeros(n), np.full(n, np.nan, np.float32)
        return Stars(np.arange(n), nothing, nothing, self.x, self.y, nothing == 0, unknown, unknown, unknown)


def draw_quadrant(folder: Path, name: str, n_star: int) -> None:
    draw = np.random.default_rng(1)
    rows, columns = ZTF.shape
    x, y = draw.uniform(-0.5, columns - 0.5, n_star), draw.uniform(-0.5, rows - 0.5, n_star)
    total = 10 ** draw.uniform(2.3, 5.0, n_star)
    mean = draw_stars(ZTF.shape, x, y, total, FWHM) + np.float32(SKY)
    noise = np.sqrt(mean / np.float32(GAIN) + np.float32(READ_NOISE**2))
    data = mean + noise * draw.standard_normal(ZTF.shape, np.float32)
    variance = np.clip(data, 0, None) / np.float32(GAIN) + np.float32(READ_NOISE**2)
    bad = np.zeros(ZTF.shape, bool)
    bad[draw.integers(0, rows, BAD_PIXELS), draw.integers(0, columns, BAD_PIXELS)] = True
    for field, values in zip(fields(Quadrant), (data, variance, bad, x, y, total), strict=True):
        np.save(folder / f"{name}_{field.name}.npy", values)


def ccd(folder: Path) -> Callable[[], dict]:
    """As for a catalogue: a first look, masks of the stars, background, noise, apertures."""
    return catalogued(Quadrant.load(folder), 4)


def crowded(folder: Path) -> Callable[[], dict]:
    return catalogued(Quadrant.load(folder, "crowded"), 1)


def catalogued(one: Quadrant, times: int) -> Callable[[], dict]:
    stars = one.stars
    beyond = stars.take(stars.star_id < 0)

    def run() -> dict:
        for _ in range(times):
            measure_stars(one.data, one.variance, one.bad, stars, beyond, RECIPE)
        return {}

    return run


def background(folder: Path) -> Callable[[], dict]:
    one = Quadrant.load(folder)
    masked, box = one.masked, RECIPE.background_box
    level = cell_statistics(one.data, masked, box).mean.ravel()

    def run() -> dict:
        for _ in QIDS:
            found = measure_background(one.data, masked, box=box)
            measure_noise(one.data - found.level, one.variance, found, masked, box=box)
        return {"level": level}

    return run


def background_straight(folder: Path) -> Callable[[], dict]:
    """Each cell clipped by astropy; nothing is interpolated, no noise measured."""
    one = Quadrant.load(folder)
    masked = one.masked
    rows, columns = (np.linspace(0, n, round(n / RECIPE.background_box) + 1).astype(int) for n in ZTF.shape)

    def run() -> dict:
        for _ in QIDS:
            level = []
            for (bottom, top), (left, right) in product(pairwise(rows), pairwise(columns)):
                cell = (slice(bottom, top), slice(left, right))
                level.append(sigma_clip(one.data[cell][~masked[cell]], sigma=3, cenfunc="mean").mean())
        return {"level": np.array(level)}

    return run


def apertures(folder: Path) -> Callable[[], dict]:
    one, above, sky = subtracted(folder)

    def run() -> dict:
        for _ in QIDS:
            found = aperture_photometry(above, one.variance, one.bad, one.x, one.y, RECIPE.radii, sky=sky)
        return {"flux": found.flux[~spoilt(one)]}

    return run


def apertures_straight(folder: Path) -> Callable[[], dict]:
    one, above, _ = subtracted(folder)
    sums = partial(sep.sum_circle, above, one.x, one.y, var=one.variance, mask=one.bad, subpix=0)

    def run() -> dict:
        for _ in QIDS:
            flux = [sums(radius)[0] for radius in RECIPE.radii]
        return {"flux": np.stack(flux, axis=1)[~spoilt(one)]}

    return run


def subtracted(folder: Path) -> tuple[Quadrant, NDArray[np.float32], SkyNoise]:
    one = Quadrant.load(folder)
    masked, box = one.masked, RECIPE.background_box
    found = measure_background(one.data, masked, box=box)
    above = one.data - found.level
    return one, above, measure_noise(above, one.variance, found, masked, box=box)


def spoilt(one: Quadrant) -> NDArray[np.bool_]:
    """Stars with a bad pixel, which the two ways treat differently."""
    return np.asarray(sep.sum_circle(one.data, one.x, one.y, max(RECIPE.radii) + 1, mask=one.bad)[2] != 0)


def main() -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        synthesise(folder, ["science"])
        draw_quadrant(folder, "sparse", N_STAR // 4)
        draw_quadrant(folder, "crowded", N_STAR)
        unit, peak = measured(decode, folder, 5)
        print(f"{'stage':58} {'CPU s':>7} {'D':>6} {'GB':>5}")

        def show(label: str, stage: Callable[[Path], Callable[[], dict]], repeat: int) -> None:
            seconds, peak = measured(stage, folder, repeat)
            print(f"{label:58} {seconds:7.2f} {seconds / unit:6.2f} {peak:5.2f}", flush=True)

        print(f"{'RICE decoding of a CCD by astropy (D)':58} {unit:7.2f} {1:6.2f} {peak:5.2f}", flush=True)
        show(f"background, ten apertures: {N_STAR} stars on four quadrants", ccd, 5)
        show("  the same number of stars on one quadrant", crowded, 3)
        show("background and noise of four quadrants", background, 5)
        show("  levels of their cells alone, clipped by astropy", background_straight, 1)
        print(f"  levels: {difference(folder, 'background', 'background_straight')}")
        show(f"ten apertures for {N_STAR} stars", apertures, 5)
        show("  sep, radius by radius; noise of independent pixels", apertures_straight, 3)
        print(f"  fluxes without bad pixels: {difference(folder, 'apertures', 'apertures_straight')}")


if __name__ == "__main__":
    main()
