"""Drawings of light curves, from the products of their fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from astropy.io import fits
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ztf_in2p3.cards import required_number
from ztf_in2p3.figures.scene import ScenePixels, plot_curve_stars, plot_light_curve, plot_scene
from ztf_in2p3.figures.sheet import Sheet
from ztf_in2p3.products import Kind
from ztf_in2p3.simulate.truth import Truth
from ztf_in2p3.store.reading import opened


def draw_curve(sheet: Sheet) -> Figure:
    """The light curve, in a simulated survey beside the true one."""
    table = sheet.table(Kind.LIGHT_CURVE)
    return plot_light_curve(table, true_curve(table, sheet.truth))


def draw_scene(sheet: Sheet) -> Figure:
    """Data, model and what is left of two exposures, and the galaxy."""
    with opened(sheet.store, sheet.of(Kind.SCENE)) as (path,):
        return plot_scene(sheet.table(Kind.LIGHT_CURVE), scene_pixels(path))


def draw_stars(sheet: Sheet) -> Figure:
    """Stars of a light curve, and what their PSFs lack."""
    psfs = list(sheet.tables(Kind.PSF))
    return plot_curve_stars(sheet.table(Kind.LIGHT_CURVE), sheet.table(Kind.CURVE_STARS), psfs)


def scene_pixels(path: Path) -> ScenePixels:
    """Pixels from the file of `ztf_in2p3.scene.curve_table.scene_planes`."""
    with fits.open(path, memmap=False) as hdus:
        planes = {name: np.asarray(hdus[name].data) for name in ("DATA", "MODEL", "REJECTED")}
        galaxy, step, scale = None, 1.0, 1.0
        if "GALAXY" in hdus:
            galaxy = np.asarray(hdus["GALAXY"].data, np.float64)
            header, name = hdus["GALAXY"].header, f"{path.name}, GALAXY"
            scale, step = (required_number(header, key, name, positive=True) for key in ("SCALE", "STEP"))
            step *= scale
    return ScenePixels(planes["DATA"], planes["MODEL"], planes["REJECTED"], galaxy, step, scale)


def true_curve(table: pa.Table, truth: Truth | None) -> tuple[NDArray, NDArray] | None:
    """MJD and flux of the simulated supernova nearest to the light curve's place, densely; None if there is none."""
    if truth is None:
        return None
    about = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    ra, dec = float(about["ra"]), float(about["dec"])
    near = sorted(
        (np.hypot((supernova.ra - ra) * np.cos(np.deg2rad(dec)), supernova.dec - dec), k)
        for k, supernova in enumerate(truth.plan.sky.supernovae)
    )
    if not near:
        return None
    supernova = truth.plan.sky.supernovae[near[0][1]]
    mjd = np.asarray(table["mjd"].to_numpy())
    times = np.unique(np.concatenate([np.linspace(mjd.min(), mjd.max(), 400), mjd]))
    magnitude = np.array([supernova.magnitude(float(time)) for time in times])
    return times, 10 ** (-0.4 * (magnitude - float(about["zero_point"])))
