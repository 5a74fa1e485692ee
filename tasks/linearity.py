"""Response of the readout channels, measured on flats of several exposure times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tasks.inputs.calibrations import Chosen, read_pockets
from tasks.pages.drawing import ccd_sketches
from tasks.runtime.outcome import Outcome
from tasks.runtime.policies import collect, product_task
from ztf_in2p3.camera import Camera
from ztf_in2p3.detrend.masters import CcdMaster
from ztf_in2p3.products import Built, ProductRef, Value, ccdid_of, period_of
from ztf_in2p3.recipes import LinearityRecipe
from ztf_in2p3.sensor.linearity_fit import FlatLevel, fit_linearity, linearity_table
from ztf_in2p3.store import Store
from ztf_in2p3.store.parquet import write_table
from ztf_in2p3.store.reading import opened


@product_task
def measure_linearity(
    output: ProductRef,
    raws: Sequence[Built],
    bias: Built,
    pocket: Chosen | None,
    camera: Camera,
    recipe: LinearityRecipe,
    store: Store,
) -> Built:
    """Measure the levels of the flats of one CCD, fit the responses of its channels, compare with the dated table."""

    def make(path: Path) -> Mapping[str, Value]:
        with opened(store, [bias]) as (bias_path,):
            master_bias = CcdMaster.read(bias_path, camera).data
        pockets, levels = read_pockets(store, pocket), []
        for raw in raws:
            with opened(store, [raw]) as (raw_path,):
                levels.append(FlatLevel.measure(raw_path, master_bias, camera, ccdid_of(output), recipe, pockets))
        fit = fit_linearity(levels, camera, recipe)
        write_table(path, linearity_table(fit, ccdid_of(output), period_of(output)))
        return {"n_frames": len(fit.used), "chi2": fit.chi2}

    return store.build(output, recipe, [*raws, bias, *(pocket.inputs if pocket else [])], make)


def draw_linearity(measured: Iterable[Built], recipe: LinearityRecipe, store: Store) -> Outcome:
    """Measured responses of each CCD beside those of the dated table."""
    return collect(sketch.launch(recipe, store) for table in measured for sketch in ccd_sketches([table], recipe))
