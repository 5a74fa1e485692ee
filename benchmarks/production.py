"""What a night and a year of the survey cost on the path that flows take: tasks' own functions, on a CCD of real size.

    python -m benchmarks.production [FOLDER]

Simulates a night of one CCD (kept in FOLDER, for the next time), brings its files into a store, makes the masters, and
measures each task by itself, with these masters: CPU seconds (one thread, least of some runs), the same in units of D,
the RICE decoding of one raw file by astropy, and the peak memory of the task's process (of a catalogue with the masters
that it maps, which all processes of a machine share).  The last line is the sum over a year; it is added to
`benchmarks/production.csv`, with the commit.
"""

from __future__ import annotations

import csv
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from datetime import date
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from astropy.io import fits

from benchmarks.detrend import measured
from tasks.archive import fetch, fetch_stars, find_frames
from tasks.calibration import make_bad_pixels, make_bias, make_flat, make_focal_plane, make_led_flat
from tasks.inputs.jobs import ccd_jobs, with_stars
from tasks.inputs.references import circles, star_partitions
from tasks.inputs.selection import by_ccd, by_led, frames
from tasks.inputs.targets import quadrants_of
from tasks.one_pass import measure_exposure, psf_recipe_beside
from tasks.psf import measure_quadrants
from tasks.reduction import catalogue_exposure
from tasks.runtime.policies import computed_by
from tasks.runtime.settings import archive_at, code_commit, store_at
from ztf_in2p3.archive.reference import ReferenceCatalogue
from ztf_in2p3.camera import ZTF
from ztf_in2p3.identifiers import Filter, ImageType
from ztf_in2p3.periods import Period
from ztf_in2p3.products import (
    Built,
    Kind,
    bad_pixels_ref,
    bias_ref,
    flat_ref,
    focal_plane_ref,
    led_flat_ref,
    reference_ref,
)
from ztf_in2p3.recipes import CatalogueRecipe
from ztf_in2p3.simulate.exposures import real_size_night
from ztf_in2p3.simulate.survey import simulate_night

HISTORY = Path(__file__).with_suffix(".csv")
CCD, FILTER, RECIPE = 6, Filter.ZR, CatalogueRecipe()
PLAN = real_size_night(CCD, n_led=1, n_object=2)
NIGHT = Period.of(PLAN.night)

N_NIGHT, N_EXPOSURE, N_CCD, N_LED, N_FILTER = 250, 500, 16, 11, 3
"""A year of the survey: nights, exposures and CCDs; LEDs of the flats of each day, and filters."""
DAY = 86_400

Made = list[Built]


@cache
def store(folder: Path) -> Any:
    return store_at(str(folder / "store"), ZTF)


# --- what the tasks are given


def bring(folder: Path, *, only_first: bool = False) -> Made:
    """All files of the night, or those of one exposure of the sky."""
    archive = archive_at(str(folder / "survey"))
    arrived: Any = SimpleNamespace(came=lambda n: None, file_done=lambda: None)
    wanted = find_frames.fn(archive, NIGHT, [FILTER], [CCD])
    exposures = sorted(wanted, key=lambda exposure: exposure.image_type is not ImageType.OBJECT)
    outcomes = [
        computed_by(fetch)(exposure, dict.fromkeys(wanted[exposure], ""), archive, store(folder), arrived)
        for exposure in (exposures[:1] if only_first else exposures)
    ]
    return [built for outcome in outcomes for built in outcome.built]


def bring_stars(folder: Path) -> None:
    catalogue = ReferenceCatalogue.open(str(folder / "survey/reference"), epoch=RECIPE.reference.epoch)
    for place in circles(frames(store(folder), Kind.HEADER, NIGHT), RECIPE.photometry):
        for pixel in catalogue.partitions(*place):
            output = reference_ref(RECIPE.reference, *pixel)
            computed_by(fetch_stars)(output, *pixel, catalogue, RECIPE.reference, store(folder))


def raws(folder: Path, kind: ImageType) -> Made:
    return frames(store(folder), Kind.RAW, NIGHT, kind)


def bias(folder: Path) -> Made:
    recipe = RECIPE.quadrant.bias
    (of_ccd,) = by_ccd(raws(folder, ImageType.BIAS), last_of_night=recipe.last_of_night).values()
    return [computed_by(make_bias)(bias_ref(recipe, NIGHT, CCD), of_ccd, ZTF, recipe, store(folder))]


def led_flat(folder: Path) -> Made:
    recipe = RECIPE.quadrant.flat.led
    ((_, led, _), of_led), *_ = by_led(raws(folder, ImageType.FLAT)).items()
    output = led_flat_ref(recipe, NIGHT, FILTER, led, CCD)
    return [computed_by(make_led_flat)(output, of_led, *bias(folder), None, ZTF, recipe, store(folder))]


def flat(folder: Path) -> Made:
    recipe = RECIPE.quadrant.flat
    output = flat_ref(recipe, NIGHT, FILTER, CCD)
    return [computed_by(make_flat)(output, led_flat(folder), {}, ZTF, recipe, store(folder))]


def focal_plane(folder: Path) -> Made:
    recipe = RECIPE.quadrant.focal_plane
    output = focal_plane_ref(recipe, NIGHT, FILTER)
    return [computed_by(make_focal_plane)(output, [(*flat(folder), True)], recipe, store(folder))]


def bad_pixels(folder: Path) -> Made:
    recipe = RECIPE.quadrant.bad_pixel_map
    output, light = bad_pixels_ref(recipe, NIGHT, FILTER, CCD), raws(folder, ImageType.OBJECT)
    masters = *bias(folder), *flat(folder)
    of_bias = raws(folder, ImageType.BIAS)
    return [computed_by(make_bad_pixels)(output, of_bias, light, *masters, ZTF, recipe, store(folder))]


def first_job(folder: Path) -> tuple[Any, Any]:
    detrendable, _ = ccd_jobs(store(folder), NIGHT, RECIPE.quadrant)
    ready, _ = with_stars(detrendable, star_partitions(store(folder), RECIPE.reference, RECIPE.photometry))
    return next(iter(ready.items()))


# --- what is measured


def remaking(task: Callable[[Path], Made], folder: Path) -> Callable[[], dict]:
    """Takes the products of a task away, and makes them again."""
    products = task(folder)

    def run() -> dict:
        for product in products:
            store(folder).remove(product.ref)
        task(folder)
        return {}

    return run


def download_an_exposure(folder: Path) -> Callable[[], dict]:
    return remaking(partial(bring, only_first=True), folder)


def make_a_bias(folder: Path) -> Callable[[], dict]:
    return remaking(bias, folder)


def make_a_led_flat(folder: Path) -> Callable[[], dict]:
    return remaking(led_flat, folder)


def make_a_flat(folder: Path) -> Callable[[], dict]:
    return remaking(flat, folder)


def find_bad_pixels(folder: Path) -> Callable[[], dict]:
    return remaking(bad_pixels, folder)


def plan_an_exposure(folder: Path) -> Callable[[], dict]:
    """What the flow does for a CCD exposure before its task starts, many times over."""
    detrendable, _ = ccd_jobs(store(folder), NIGHT, RECIPE.quadrant)
    partitions = star_partitions(store(folder), RECIPE.reference, RECIPE.photometry)
    many = {exposure: jobs * 100 for exposure, jobs in detrendable.items()}

    def run() -> dict:
        with_stars(many, partitions)
        return {}

    return run


def measure_a_catalogue(folder: Path) -> Callable[[], dict]:
    exposure, jobs = first_job(folder)

    def task(folder: Path) -> Made:
        return list(computed_by(catalogue_exposure)(exposure, jobs, ZTF, RECIPE, store(folder)).built)

    return remaking(task, folder)


def quadrant_exposures(folder: Path, exposure: Any, jobs: Any) -> Any:
    """The first quadrant of a CCD exposure: a PSF is fitted to each by itself."""
    quadrants, _ = quadrants_of({exposure: jobs}, store(folder), psf_recipe_beside(RECIPE))
    return {ccd: of_ccd[:1] for ccd, of_ccd in quadrants.items()}


def measure_psf_of_a_quadrant(folder: Path) -> Callable[[], dict]:
    ((ccd, quadrants),) = quadrant_exposures(folder, *first_job(folder)).items()

    def task(folder: Path) -> Made:
        recipe = psf_recipe_beside(RECIPE)
        return list(computed_by(measure_quadrants)(ccd, quadrants, ZTF, recipe, store(folder)).built)

    return remaking(task, folder)


def measure_both_in_one_pass(folder: Path) -> Callable[[], dict]:
    exposure, jobs = first_job(folder)
    quadrants = quadrant_exposures(folder, exposure, jobs)

    def task(folder: Path) -> Made:
        return list(computed_by(measure_exposure)(exposure, jobs, quadrants, ZTF, RECIPE, store(folder)).built)

    return remaking(task, folder)


def decode(folder: Path) -> Callable[[], dict]:
    """D: the eight images of a raw file, by astropy."""
    raw = next((folder / "survey/raw").rglob("*_o.fits.fz"))

    def run() -> dict:
        with fits.open(raw) as hdus:
            for index in range(1, 9):
                _ = hdus[index].data
                del hdus[index].data
        return {}

    return run


STAGES: list[tuple[str, Callable[[Path], Callable[[], dict]], int]] = [
    ("download and check, a CCD exposure", download_an_exposure, 3),
    ("master bias of 10", make_a_bias, 3),
    ("flat of a LED of 4", make_a_led_flat, 3),
    ("flat of a filter", make_a_flat, 2),
    ("bad pixels", find_bad_pixels, 2),
    ("stars looked up, 200 CCD exposures", plan_an_exposure, 3),
    ("catalogue of a CCD exposure", measure_a_catalogue, 5),
    ("PSF and its stars, one quadrant", measure_psf_of_a_quadrant, 3),
    ("catalogue, and PSF of one quadrant, in one pass", measure_both_in_one_pass, 3),
]


def prepare(folder: Path) -> None:
    """Survey and store, as far as they are not there."""
    simulate_night(PLAN, folder / "survey", workers=2)
    bring(folder)
    bring_stars(folder)
    bad_pixels(folder)
    focal_plane(folder)


def size(builts: Iterable[Built]) -> float:
    """Megabytes."""
    return sum(built.size for built in builts) / 1e6


def sums(folder: Path, seconds: dict[str, float]) -> dict[str, float]:
    """CPU days of a year, and gigabytes of a night on disk."""
    exposures = N_NIGHT * N_EXPOSURE * N_CCD
    both = seconds["measure_both_in_one_pass"] - seconds["measure_a_catalogue"]
    masters = (
        seconds["make_a_bias"]
        + N_LED * seconds["make_a_led_flat"]
        + N_FILTER * (seconds["make_a_flat"] + seconds["find_bad_pixels"])
    )
    common = (
        exposures
        * (seconds["download_an_exposure"] + seconds["measure_a_catalogue"] + seconds["plan_an_exposure"] / 200)
        + N_NIGHT * N_CCD * masters
    )
    of_exposure = [*frames(store(folder), Kind.HEADER, NIGHT), *frames(store(folder), Kind.MASK, NIGHT)]
    of_exposure += raws(folder, ImageType.OBJECT)
    catalogue = computed_by(catalogue_exposure)(*first_job(folder), ZTF, RECIPE, store(folder)).built
    megabytes = N_EXPOSURE * N_CCD * (size(of_exposure) / len(PLAN.objects) + size(catalogue))
    megabytes += N_CCD * (
        size(raws(folder, ImageType.BIAS)) + N_LED * size(raws(folder, ImageType.FLAT)) + size(bias(folder))
        + N_LED * size(led_flat(folder)) + N_FILTER * (size(flat(folder)) + size(bad_pixels(folder)))
    )  # fmt: skip
    return {
        "cpu_days": common / DAY,
        "cpu_days_with_psf": (common + exposures * 4 * both) / DAY,
        "gb_a_night": megabytes / 1e3,
    }


def main(folder: Path) -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    os.environ.setdefault("ZTF_SCRATCH", str(folder))
    prepare(folder)
    unit, _ = measured(decode, folder, 5)
    print(f"{'task':50} {'CPU s':>8} {'D':>6} {'GB':>5}")
    print(f"{'RICE decoding of a CCD by astropy (D)':50} {unit:8.2f} {1:6.2f}")
    seconds: dict[str, float] = {}
    for label, stage, repeat in STAGES:
        seconds[stage.__name__], peak = measured(stage, folder, repeat)
        print(
            f"{label:50} {seconds[stage.__name__]:8.2f} {seconds[stage.__name__] / unit:6.2f} {peak:5.2f}", flush=True
        )
    year = sums(folder, seconds)
    note(unit, seconds, year)
    print(
        f"CPU days for a year of sky: {year['cpu_days']:.0f} without PSF, {year['cpu_days_with_psf']:.0f} with it; "
        f"{year['gb_a_night']:.0f} GB a night"
    )


def note(unit: float, seconds: dict[str, float], year: dict[str, float]) -> None:
    """Add a row to the history."""
    row = {"date": f"{date.today()}", "commit": code_commit(), "D": f"{unit:.3f}"}
    row |= {name: f"{value:.3f}" for name, value in (seconds | year).items()}
    is_new = not HISTORY.exists()
    with HISTORY.open("a", newline="", encoding="ascii") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerow(row)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]).absolute())
    else:
        with tempfile.TemporaryDirectory() as scratch:
            main(Path(scratch))
