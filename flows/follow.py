"""The last act of the demonstration: a supernova is followed, and its light curve compared with the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.download import download
from flows.scene import scene
from tasks.runtime.outcome import Outcome
from tasks.simulation import light_curve_recipe, simulate, sky_exposures, supernova_nights, tolerant
from ztf_in2p3.recipes import CatalogueRecipe
from ztf_in2p3.simulate.exposures import NightPlan
from ztf_in2p3.simulate.follow import TARGETS


def follow_supernova(folder: str, store: str, plan: NightPlan, recipe: CatalogueRecipe, **how: Any) -> Outcome:
    """Simulate the nights that follow it, bring them into the store, measure it with the masters that are there.

    1. Simulate forty nights on one quadrant, sixteen of them before it explodes, in two filters.
    2. Bring the frames of its CCD into the store.
    3. Measure its light curves.

    Parameters
    ----------
    folder
        Receives the simulated nights.
    store
        Holds the masters.
    plan
        The night that these were made of.
    how
        Of the flows: camera, workers, max_set_aside.
    """
    nights, ccdid = supernova_nights(plan)
    simulate(nights, folder, how["workers"])

    filters = sorted({str(night.objects[0].exposure.filter) for night in nights})
    brought = download(
        f"{nights[0].night:%Y%m%d}_{nights[-1].night:%Y%m%d}",
        store,
        archive=folder,
        reference=str(Path(folder) / "reference"),
        ccds=[ccdid],
        filters=filters,
        recipe=tolerant(recipe),
        **how | {"max_set_aside": 1.0},  # the exposures that are measured are counted, not the files
    )

    measured = scene(
        store,
        str(TARGETS),
        names=["supernova"],
        recipe=light_curve_recipe(recipe),
        truth=folder,
        **how,
    )
    return brought + measured + Outcome(expected=sky_exposures(nights))
