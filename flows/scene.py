"""Light curves of transients, all exposures of each fitted at once."""

from __future__ import annotations

from pathlib import Path

from tasks.inputs.recipes import recipe_for
from tasks.inputs.targets import absent_from_survey
from tasks.psf import measure_all, target_exposures_of
from tasks.runtime.outcome import Outcome
from tasks.runtime.parameters import chosen
from tasks.runtime.product_flow import fail_above, product_flow
from tasks.runtime.settings import deployments, store_at
from tasks.scene import draw_curves, fit_curves
from ztf_in2p3.camera import camera_named
from ztf_in2p3.recipes import LightCurveRecipe
from ztf_in2p3.scene.target import chosen_targets


@product_flow("scene", needs="exposures of the targets", after="download and calibrate")
def scene(
    store: str,
    targets: str | None = None,
    *,
    names: list[str] | None = None,
    images: str | None = None,
    reference: str | None = None,
    camera: str = "ztf",
    fields: list[int] | None = None,
    exposures: str | None = None,
    recipe: LightCurveRecipe = LightCurveRecipe(),
    workers: int | None = None,
    max_set_aside: float = 0.2,
    truth: str | None = None,
) -> Outcome:
    """Measure the light curves of targets on their galaxies.

    1. Find the exposures that have a target on them.
    2. Fit the PSF of each, measure its stars, cut the targets out.
    3. Fit each target in each band.
    4. Draw the light curves.

    Parameters
    ----------
    targets
        TOML file of the targets: where they are, when they may shine; targets.toml of the deployments if not given.
    names
        Of the targets to do; all of the file if not given.
    images
        Folder of science images (FITS with WCS, gain and mask); if not given, the store's raw frames are detrended.
    reference
        Folder or s3://bucket/prefix of the reference catalogue, for stars that the store lacks.
    """
    file = Path(targets) if targets else deployments() / "targets.toml"
    products, wanted = store_at(store, camera_named(camera)), chosen_targets(file, names)
    recipe = recipe_for(images, recipe, products)
    selected = chosen(fields, exposures)

    target_exposures, unused, imported = target_exposures_of(products, wanted, recipe, images, reference, **selected)

    measured = measure_all(target_exposures, camera_named(camera), recipe.stars, products)

    curves = fit_curves(wanted, target_exposures, unused, measured, camera_named(camera), recipe, products)

    drawn = draw_curves(curves, measured, recipe, products, truth)
    missing = () if images else absent_from_survey(products, **selected)
    done = imported + measured + curves + drawn + Outcome(set_aside=missing)
    if done.built:
        fail_above(max_set_aside, curves)  # of the curves alone: a hundred good exposures do not make up for one
    return done
