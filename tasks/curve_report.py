"""Pictures of light curves, in the store and among the orchestrator's artifacts."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from astropy.io import fits
from numpy.typing import NDArray
from prefect.artifacts import create_markdown_artifact

from tasks.report import truth_digest
from tasks.runtime.outcome import Outcome
from tasks.runtime.policies import collect, launch, product_task
from tasks.scene_flow import figures_of
from ztf_in2p3.cards import required_number
from ztf_in2p3.figures.scene import ScenePixels, plot_curve_stars, plot_light_curve, plot_scene
from ztf_in2p3.figures.style import png
from ztf_in2p3.products import Built, Kind, ProductRef, Value, scene_figure_ref
from ztf_in2p3.recipes import LightCurveRecipe
from ztf_in2p3.simulate.truth import Truth
from ztf_in2p3.store import Store
from ztf_in2p3.store.parquet import read_table
from ztf_in2p3.store.reading import as_input, opened

CAPTIONS = {
    "curve": "Flux of the transient, with errors; below, how far it is from the truth, if that is known, and chi2.",
    "scene": "Data, model and what is left, in the exposure that tells most and in the one that fits worst.",
    "stars": "Scatter of the stars beside what photons allow; what PSFs lack; slopes with magnitude; throughputs.",
}


@product_task
def draw_curve(
    output: ProductRef,
    curve: tuple[Built, Built, Built],
    psfs: Sequence[Built],
    recipe: LightCurveRecipe,
    store: Store,
    truth: str | None,
) -> Built:
    """One of the pictures of a light curve, named by the end of the target's data id."""
    name = output.data_id.rpartition("/")[2]

    def make(path: Path) -> Mapping[str, Value]:
        with opened(store, curve) as (light_curve, stars, scene):
            table = read_table(light_curve)
            if name == "curve":
                figure = plot_light_curve(table, true_curve(table, truth))
            elif name == "scene":
                figure = plot_scene(table, scene_pixels(scene))
            else:
                with opened(store, psfs) as paths:
                    figure = plot_curve_stars(table, read_table(stars), [read_table(psf_path) for psf_path in paths])
        path.write_bytes(png(figure))
        return {"caption": CAPTIONS[name]}

    further_inputs = psfs if name == "stars" else [as_input(output, truth_digest(truth))]
    return store.build(output, recipe, [*curve, *further_inputs], make)


def draw_curves(
    curves: Outcome, measured: Outcome, recipe: LightCurveRecipe, store: Store, truth: str | None
) -> Outcome:
    """Draw every light curve; an artifact shows each with what it says."""
    psf_of = {built.ref.data_id: built for built in measured.of(Kind.PSF)}
    drawn = Outcome()
    under_way = []
    for curve in figures_of(curves):
        with store.open(curve[0]) as path:
            table = read_table(path, ["exposure", "reason"])
        used = [
            name for name, reason in zip(*(table[c].to_pylist() for c in table.column_names), strict=True) if not reason
        ]
        psfs = [psf_of[name] for name in used if name in psf_of]
        _, band = curve[0].ref.data_id.split("/")
        of = curve[0].ref.data_id.split("/")[0].removeprefix("target_")
        pictures = [
            launch(draw_curve, scene_figure_ref(recipe, of, band, name), curve, psfs, recipe, store, truth)
            for name in CAPTIONS
        ]
        under_way.append((curve, pictures))
    for curve, pictures in under_way:
        drawn_pictures = collect(pictures)
        show_curve(curve[0], drawn_pictures, store)
        drawn += drawn_pictures
    return drawn


def show_curve(curve: Built, pictures: Outcome, store: Store) -> None:
    """Leave an artifact, its key the target's and band's: runs of one target form a history."""
    name = curve.ref.data_id.removeprefix("target_").replace("/", " ")
    facts = [f"| {key.replace('_', ' ')} | {value} |" for key, value in curve.about.items()]
    text = [f"# Light curve of {name}", "", "| | |", "|---|---|", *facts, ""]
    for picture in pictures.built:
        with store.open(picture) as path:
            image = base64.b64encode(path.read_bytes()).decode()
        text += [f"![{picture.ref.file_name}](data:image/png;base64,{image})", "", str(picture.about["caption"]), ""]
    text += [f"The table: `{store.uri(curve.ref)}`"]
    key = "light-curve-" + "".join(c if c.isalnum() else "-" for c in name.lower()).strip("-")
    create_markdown_artifact("\n".join(text), key=key, description=f"{name}: {curve.about['n_measured']} fluxes")


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


def true_curve(table: pa.Table, truth: str | None) -> tuple[NDArray, NDArray] | None:
    """MJD and flux of the simulated supernova nearest to the light curve's place, densely; None if there is none."""
    if truth is None:
        return None
    about = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    ra, dec = float(about["ra"]), float(about["dec"])
    near = sorted(
        (np.hypot((supernova.ra - ra) * np.cos(np.deg2rad(dec)), supernova.dec - dec), k)
        for k, supernova in enumerate(Truth.load(Path(truth)).plan.sky.supernovae)
    )
    if not near:
        return None
    supernova = Truth.load(Path(truth)).plan.sky.supernovae[near[0][1]]
    mjd = np.asarray(table["mjd"].to_numpy())
    times = np.unique(np.concatenate([np.linspace(mjd.min(), mjd.max(), 400), mjd]))
    magnitude = np.array([supernova.magnitude(float(time)) for time in times])
    return times, 10 ** (-0.4 * (magnitude - float(about["zero_point"])))
