"""What the pockets of the serial registers hold, measured on a period's exposures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from tasks.inputs.calibrations import Chosen, calibrations_of
from tasks.inputs.selection import frames, spread
from tasks.pages.drawing import ccd_sketches
from tasks.runtime.outcome import Outcome, SetAside, attempt
from tasks.runtime.policies import collect, product_task
from ztf_in2p3.camera import Camera
from ztf_in2p3.detrend.masters import CcdMaster
from ztf_in2p3.errors import MissingProduct
from ztf_in2p3.identifiers import N_QUADRANT, CcdExposure, Exposure, ImageType
from ztf_in2p3.periods import Period
from ztf_in2p3.products import (
    Built,
    Kind,
    ProductRef,
    Value,
    ccd_of,
    ccdid_of,
    exposure_of,
    period_of,
    pocket_profiles_ref,
)
from ztf_in2p3.recipes import PocketProfileRecipe, PocketRecipe, QuadrantRecipe
from ztf_in2p3.sensor.pocket import LAST_NIGHT_WITHOUT
from ztf_in2p3.sensor.pocket_calibration import measure_pockets, power_law_reasons
from ztf_in2p3.sensor.pocket_profiles import ccd_profiles
from ztf_in2p3.store import Store
from ztf_in2p3.store.parquet import read_table, write_table
from ztf_in2p3.store.reading import opened


@dataclass(frozen=True, slots=True)
class IlluminatedCcd:
    """A raw frame with light, and the bias under it."""

    ccd: CcdExposure
    raw: Built
    bias: Chosen


def illuminated_exposures(
    store: Store, period: Period, recipe: QuadrantRecipe, **which: Any
) -> tuple[dict[Exposure, list[IlluminatedCcd]], list[SetAside]]:
    """Exposures of the sky and flats of nights that have pockets, spread evenly over them; and what is missing.

    ``which``: filters, ccdids, fields and exposures, as for `tasks.inputs.selection.frames`; the former two for flats.
    """
    of_flats = {name: values for name, values in which.items() if name in ("filters", "ccdids")}
    biases, aside = calibrations_of(store, recipe), []
    ready: dict[Exposure, list[IlluminatedCcd]] = defaultdict(list)
    for image_type, chosen_by in ((ImageType.OBJECT, which), (ImageType.FLAT, of_flats)):
        raws = frames(store, Kind.RAW, period, image_type, **chosen_by)
        exposures = sorted({exposure_of(raw.ref) for raw in raws})
        with_pocket = [exposure for exposure in exposures if exposure.night > LAST_NIGHT_WITHOUT]
        chosen = set(spread(with_pocket, recipe.pocket.fit.exposures))
        for raw in (raw for raw in raws if exposure_of(raw.ref) in chosen):
            ccd = ccd_of(raw.ref)
            try:
                ready[ccd.exposure].append(IlluminatedCcd(ccd, raw, biases.bias(ccd)))
            except MissingProduct as error:
                aside.append(SetAside.because(str(ccd), error))
    if not ready and not aside:
        nothing = MissingProduct(
            f"the store has no exposures with light of nights after {LAST_NIGHT_WITHOUT}, when the pockets began; "
            "run the flow download, or take a later period"
        )
        aside.append(SetAside.because(f"exposures of {period}", nothing))
    return dict(ready), aside


@product_task
def profile_exposure(
    exposure: Exposure, ccds: Sequence[IlluminatedCcd], camera: Camera, recipe: PocketProfileRecipe, store: Store
) -> Outcome:
    """Mean overscans behind blocks of rows of each CCD of an exposure."""

    def profile(frame: IlluminatedCcd) -> Built:
        def make(path: Path) -> None:
            with (
                opened(store, [frame.raw, frame.bias.built]) as (raw, bias_path),
                CcdMaster.open(bias_path, camera) as bias,
            ):
                write_table(path, ccd_profiles(raw, bias.data, camera, frame.ccd.ccdid, recipe))

        return store.build(pocket_profiles_ref(recipe, frame.ccd), recipe, [frame.raw, *frame.bias.inputs], make)

    return attempt(ccds, profile, name=lambda frame: str(frame.ccd))


@product_task
def fit_pockets(output: ProductRef, profiles: Sequence[Built], recipe: PocketRecipe, store: Store) -> Built:
    """Fit the pockets of one CCD to its profiles of a period."""

    def make(path: Path) -> Mapping[str, Value]:
        pockets = measure_pockets(_joined(store, profiles), ccdid_of(output), period_of(output), recipe)
        write_table(path, pockets)
        reasons = {f"power_law_q{qid}": reason for qid, reason in power_law_reasons(pockets).items()}
        return {"n_frames": len(profiles), **reasons}

    return store.build(output, recipe, profiles, make)


def power_law_amplifiers(pockets: Iterable[Built]) -> list[SetAside]:
    """Amplifiers for which the published power law serves, with the reason."""
    return [
        SetAside(f"{product.ref.label} q{qid}", f"{reason}; the published power law serves for this amplifier")
        for product in pockets
        for qid in range(1, N_QUADRANT + 1)
        if (reason := product.about.get(f"power_law_q{qid}"))
    ]


def draw_pockets(
    pockets: Iterable[Built], profiles_of: Mapping[int, Sequence[Built]], recipe: PocketRecipe, store: Store
) -> Outcome:
    """Figures of the pockets of each CCD; `profiles_of`: what they were fitted to, by CCD."""
    drawn = (
        sketch.launch(recipe, store)
        for product in pockets
        for ccdid in [ccdid_of(product.ref)]
        for sketch in ccd_sketches([product, *profiles_of[ccdid]], recipe)
    )
    return collect(drawn)


def _joined(store: Store, profiles: Sequence[Built]) -> pa.Table:
    with opened(store, profiles) as paths:
        return pa.concat_tables(read_table(path) for path in paths)
