"""Response of the readout channels, measured on flats of several exposure times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks.inputs.calibrations import Chosen, read_pockets
from tasks.runtime.policies import product_task
from tasks.runtime.reading import opened
from ztf_in2p3.camera import Camera
from ztf_in2p3.detrend.masters import CcdMaster
from ztf_in2p3.figures.linearity import plot_linearity
from ztf_in2p3.figures.style import save_png
from ztf_in2p3.products import Built, ProductRef, Value, ccdid_of, period_of
from ztf_in2p3.recipes import LinearityRecipe
from ztf_in2p3.sensor.linearity_fit import FlatLevel, fit_linearity, linearity_table
from ztf_in2p3.store import Store
from ztf_in2p3.store.parquet import read_table, write_table


@product_task
def measure_linearity(
    target: ProductRef,
    raws: Sequence[Built],
    bias: Built,
    pocket: Chosen | None,
    camera: Camera,
    recipe: LinearityRecipe,
    store: Store,
) -> Built:
    """Measure the levels of the flats of one CCD, fit the responses of its channels, compare with the dated table."""

    def make(spool: Path) -> Mapping[str, Value]:
        with opened(store, [bias]) as (bias_path,):
            dark = CcdMaster.read(bias_path, camera).data
        pockets, levels = read_pockets(store, pocket), []
        for raw in raws:
            with opened(store, [raw]) as (path,):
                levels.append(FlatLevel.measure(path, dark, camera, ccdid_of(target), recipe, pockets))
        fit = fit_linearity(levels, camera, recipe)
        write_table(spool, linearity_table(fit, ccdid_of(target), period_of(target)))
        return {"n_frames": len(fit.used), "chi2": fit.chi2}

    return store.build(target, recipe, [*raws, bias, *(pocket.inputs if pocket else [])], make)


@product_task
def draw_linearity(target: ProductRef, measured: Built, recipe: LinearityRecipe, store: Store) -> Built:
    """Measured responses beside those of the dated table."""

    def make(spool: Path) -> None:
        with opened(store, [measured]) as (path,):
            table = read_table(path)
        save_png(plot_linearity(table, f"Linearity of CCD {ccdid_of(measured.ref)}, {period_of(measured.ref)}"), spool)

    return store.build(target, recipe, [measured], make)
