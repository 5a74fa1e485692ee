"""A night from nothing: simulated, served as the archive would, reduced, and compared with its truth."""

from __future__ import annotations

from pathlib import Path

from flows.detrend import detrend
from flows.nightly import nightly
from flows.policies import product_flow
from lib.recipes import CatalogueRecipe
from lib.simulate.server import IrsaLookalike
from tasks.outcome import Outcome
from tasks.simulation import night_of, simulate


@product_flow("demo")
def demo(
    folder: str = "demo/tiny",
    *,
    camera: str = "tiny",
    recipe: CatalogueRecipe = CatalogueRecipe(),
    workers: int | None = None,
    max_set_aside: float = 0.0,
) -> Outcome:
    """Reduce a simulated night and compare every product with the truth.

    1. Simulate the raw files, science headers, masks and reference stars of a night.
    2. Serve them on loopback as the archive would, and reduce the night from there.
    3. Keep the detrended images of one CCD, to look at.

    Parameters
    ----------
    folder
        Receives the simulated survey and the products.
    camera
        tiny: 16 CCDs of small quadrants; ztf: one CCD of real size.
    """
    tree, store = str(Path(folder) / "survey"), str(Path(folder) / "store")
    plan = night_of(camera)
    night, ccds = f"{plan.night:%Y%m%d}", list(plan.ccdids)
    filters = sorted({str(frame.exposure.filter) for frame in plan.objects})

    simulate(plan, tree, workers)

    with IrsaLookalike(Path(tree)) as archive:
        reduced = nightly(
            store,
            night,
            archive=archive.url,
            reference=str(Path(tree) / "reference"),
            camera=camera,
            ccds=ccds,
            filters=filters,
            recipe=recipe,
            workers=workers,
            max_set_aside=max_set_aside,
            truth=tree,
        )

    kept = detrend(night, store, camera=camera, ccds=ccds[:1], filters=filters, recipe=recipe, workers=workers)
    return reduced + kept
