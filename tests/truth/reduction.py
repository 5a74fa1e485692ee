"""A simulated tree, reduced by the real functions as the flows do it, in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
from astropy.io import fits
from numpy.typing import NDArray

from ztf_in2p3.archive.reference import ReferenceCatalogue
from ztf_in2p3.catalogue.aperture_catalogue import aperture_catalogue, join_quadrants
from ztf_in2p3.catalogue.reference import stars_within
from ztf_in2p3.catalogue.science_image import read_mask
from ztf_in2p3.catalogue.stars import cone, wcs_of
from ztf_in2p3.detrend.ccd_master import CcdMaster
from ztf_in2p3.detrend.focal_plane import FlatLevel, common_level, focal_plane
from ztf_in2p3.detrend.masters import combine_leds, led_flat, master_bias
from ztf_in2p3.detrend.quadrant import detrend_ccd
from ztf_in2p3.hdus import read_header
from ztf_in2p3.identifiers import CcdExposure, Filter
from ztf_in2p3.image import Image
from ztf_in2p3.recipes import (
    BiasRecipe,
    FlatRecipe,
    FocalPlaneRecipe,
    LedFlatRecipe,
    PhotometryRecipe,
    QuadrantRecipe,
    SensorRecipe,
)
from ztf_in2p3.simulate import files
from ztf_in2p3.simulate.exposures import NightPlan
from ztf_in2p3.simulate.raw import read_out_ccd, write_raw
from ztf_in2p3.simulate.science import science_header
from ztf_in2p3.simulate.truth import Truth
from ztf_in2p3.store.parquet import read_table

QIDS = range(1, 5)
Images = dict[int, tuple[Image, fits.Header]]


@dataclass(frozen=True, eq=False)
class Reduced:
    """What the pipeline makes of a night's files."""

    tree: Path
    plan: NightPlan
    bias: Mapping[int, CcdMaster]
    leds: Mapping[tuple[Filter, int, int], CcdMaster]
    """By filter, CCD, LED."""
    flat: Mapping[tuple[Filter, int], CcdMaster]
    level: Mapping[Filter, float]
    """FLTNORM_FP."""
    images: Mapping[CcdExposure, Images]

    @property
    def truth(self) -> Truth:
        return Truth(self.plan)


def write_raws(plan: NightPlan, tree: Path) -> None:
    """The raw files of a night and nothing else; the archive's images cost as much again."""
    for ccd in plan.ccd_exposures:
        path = tree / files.raw_path(ccd)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_raw(path, plan, ccd, read_out_ccd(plan, ccd))


def reduce_night(tree: Path, plan: NightPlan, filters: Collection[Filter] = ()) -> Reduced:
    """Masters and detrended images from the raw files of a night.

    The archive's headers and masks are used where the tree has them; where it has raw files only, headers
    (astrometry and date) are made and masks left out.  The linearity is corrected if it is an effect of the night.
    `filters`: whose flats to make besides those of the exposures.
    """
    sensor = SensorRecipe(linearise=plan.effects.nonlinearity)
    led_recipe = LedFlatRecipe(BiasRecipe(sensor))
    camera, recipe = plan.camera, QuadrantRecipe(FocalPlaneRecipe(FlatRecipe(led_recipe)))

    def raws(frames, ccdid):
        return [tree / files.raw_path(CcdExposure(frame.exposure, ccdid)) for frame in frames]

    bias = {ccdid: master_bias(raws(plan.biases, ccdid), camera, ccdid, recipe.bias) for ccdid in plan.ccdids}
    leds, flat, level = {}, {}, {}
    for filter in sorted({frame.exposure.filter for frame in plan.objects} | {*filters}):
        for ccdid in plan.ccdids:
            frames = [frame for frame in plan.flats if frame.exposure.filter == filter]
            for led in sorted({frame.led for frame in frames}):
                same = raws([frame for frame in frames if frame.led == led], ccdid)
                leds[filter, ccdid, led] = led_flat(same, bias[ccdid], camera, ccdid, led_recipe)
            of_filter = [one for key, one in leds.items() if key[:2] == (filter, ccdid)]
            flat[filter, ccdid] = combine_leds(of_filter, recipe.flat)
        levels = focal_plane(FlatLevel.of(flat[filter, ccdid]) for ccdid in plan.ccdids)
        level[filter] = common_level(levels)

    images = {}
    for frame in plan.objects:
        for ccdid in plan.ccdids:
            ccd, filter = CcdExposure(frame.exposure, ccdid), frame.exposure.filter
            headers = {qid: _header(tree, plan, ccd, qid) for qid in QIDS}
            masks = {qid: tree / files.mask_path(ccd, qid) for qid in QIDS}
            masks = {qid: read_mask(path) for qid, path in masks.items() if path.exists()}
            [raw] = raws([frame], ccdid)
            images[ccd] = detrend_ccd(
                raw, bias[ccdid], flat[filter, ccdid], level[filter], headers, masks, camera, recipe
            )
    return Reduced(tree, plan, bias, leds, flat, level, images)


def _header(tree: Path, plan: NightPlan, ccd: CcdExposure, qid: int) -> fits.Header:
    path = tree / files.science_path(ccd, qid)
    return (
        read_header(path) if path.exists() else science_header(plan, ccd, qid, Truth(plan).levels(ccd.exposure.filter))
    )


def measure(tree: Path, plan: NightPlan, ccd: CcdExposure, images: Images, recipe: PhotometryRecipe) -> pa.Table:
    """Aperture catalogue of a CCD exposure with the reference catalogue of the tree."""
    around = cone([wcs_of(header, str(ccd)) for _, header in images.values()], plan.camera.shape, beyond_arcsec=140.0)
    partitions = ReferenceCatalogue.open(str(tree / "reference")).partitions(*around)
    stars = pa.concat_tables(stars_within(_partition(tree, *one), *around) for one in partitions)
    return join_quadrants(
        [
            aperture_catalogue(image, header, stars, ccd, qid, plan.camera, recipe)
            for qid, (image, header) in images.items()
        ]
    )


@cache
def _partition(tree: Path, order: int, pixel: int) -> pa.Table:
    spool = tree / f"partition_{order}_{pixel}.parquet"
    ReferenceCatalogue.open(str(tree / "reference")).fetch(order, pixel, spool)
    return read_table(spool)


# --- what statistics expect


@cache
def median_variance(n: int) -> float:
    """Variance of the median of n unit Gaussians, of 200 000 drawn ones: known to 0.3 %."""
    return float(np.median(np.random.default_rng(n).standard_normal((n, 200_000)), axis=0).var())


def offset_variance(read_noise: float, rows: int) -> float:
    """Of the mean over the rows of the offset fitted to an overscan, in the square of the unit of the read noise.

    A row's value is a mean of five samples; rows beyond 3 sigma are left out, which costs 3 % (skipped mean: integral
    of x^2 phi over the square of 2 Phi - 1 - 2 k phi, k = 3).
    """
    return 1.03 * read_noise**2 / (5 * rows)


def expected_variance(reduced: Reduced, ccd: CcdExposure, qid: int, read_noise: float, gain: float) -> NDArray:
    """Of (detrended - truth), pixel by pixel: the exposure's own noise and that of its masters, ADU^2."""
    plan, truth, filter = reduced.plan, reduced.truth, ccd.exposure.filter
    flats = [frame for frame in plan.flats if frame.exposure.filter == filter]
    n_led = len({frame.led for frame in flats})
    n_flat = len(flats) // n_led
    scale = np.float32(truth.levels(filter).factor(ccd.ccdid)) / truth.flat(filter, ccd.ccdid, qid)
    bias = median_variance(len(plan.biases)) * (read_noise / gain) ** 2
    # A flat of L ADU has a photon noise of L / gain, 1 / (gain L) of its square; its read noise is 0.2 % of it.
    level = truth.flat(filter, ccd.ccdid, qid) * truth.levels(filter).fltnorm(ccd.ccdid)
    flat = median_variance(n_flat) / n_led / (gain * level)
    return truth.variance(ccd, qid) + bias * scale**2 + flat * truth.detrended(ccd, qid) ** 2
