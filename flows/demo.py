"""A survey from nothing: simulated, served as the archive would, reduced, and compared with its truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.catalogue import catalogue
from flows.detrend import detrend
from flows.download import download
from flows.follow import follow_supernova
from flows.nightly import nightly
from flows.starflat import starflat
from flows.ubercal import ubercal
from tasks.pages.website import show_site
from tasks.runtime.outcome import Outcome, total
from tasks.runtime.product_flow import product_flow
from tasks.runtime.settings import store_at
from tasks.simulation import RECIPE, demonstration_of, sequence_recipe, simulate, sky_exposures, survey_recipe
from tasks.ubercal import compare_surveys
from ztf_in2p3.camera import ZTF
from ztf_in2p3.recipes import CatalogueRecipe
from ztf_in2p3.simulate.server import IrsaLookalike


@product_flow("demo", counted=True)
def demo(
    folder: str = "demo/tiny",
    *,
    camera: str = "tiny",
    recipe: CatalogueRecipe = RECIPE,
    workers: int | None = None,
    max_set_aside: float = 0.0,
) -> Outcome:
    """Reduce a simulated survey and compare every product with the truth.

    1. Simulate the raw files, science headers, masks and reference stars of some nights.
    2. Serve them on loopback as the archive would, and reduce the first night from there.
    3. Keep the detrended images of one CCD, to look at.
    4. Measure the stars on the exposures of the other nights.
    5. Fit the response of the camera to the dithered sequence.
    6. Fit the zero points of the month, with magnitudes corrected for that response.
    7. Follow a supernova on its galaxy, and measure its light curve.
    8. Write the pages of the store, and say which file to open.

    Parameters
    ----------
    folder
        Receives the simulated survey and the products.
    camera
        tiny: 16 CCDs of small quadrants; ztf: one CCD of real size, and one night.
    max_set_aside
        Fraction of the simulated CCD exposures, in all, of a CCD or of a filter, that may lack a catalogue.
    """
    tree, store = str(Path(folder) / "survey"), str(Path(folder) / "store")
    survey_plan = demonstration_of(camera)
    night, ccds = f"{survey_plan.night.night:%Y%m%d}", list(survey_plan.night.ccdids)
    how: dict[str, Any] = {"camera": camera, "workers": workers, "max_set_aside": max_set_aside}
    bear: dict[str, Any] = {
        "max_set_aside": 1.0
    }  # a download skips the odd rows of the archive's tables; the catalogues are counted
    which: dict[str, Any] = {"ccds": ccds, "filters": survey_plan.filters, "recipe": recipe, **how}
    stars = str(Path(tree) / "reference")

    simulate(survey_plan.plans, tree, workers)

    with IrsaLookalike(Path(tree)) as archive:
        reduced = nightly(night, store, archive=archive.url, reference=stars, truth=tree, **which)

    kept = detrend(night, store, **which | {"ccds": ccds[:1]})

    later = total(
        download(period, store, archive=tree, reference=stars, **which | bear) + catalogue(period, store, **which)
        for period in survey_plan.later
    )

    flats = total(
        starflat(period, store, recipe=sequence_recipe(recipe), truth=tree, **how) for period in survey_plan.sequences
    )

    survey = survey_recipe(recipe)
    zero_points = total(ubercal(period, store, recipe=survey, **how) for period in survey_plan.months)
    compared = compare_surveys(zero_points, survey, store_at(store), tree)

    at_real_size = camera == ZTF.name
    supernova = str(Path(folder) / "supernova")
    followed = Outcome() if at_real_size else follow_supernova(supernova, store, survey_plan.night, recipe, **how)
    show_site(store_at(store), str(Path(folder) / "site"))
    outcome = reduced + kept + later + flats + zero_points + compared + followed
    return outcome + Outcome(expected=sky_exposures(survey_plan.plans))
