"""Catalogues and PSFs of one reading of the raw files are those of two."""

import shutil

from flows.catalogue import catalogue
from flows.psf import psf
from tasks.one_pass import psf_recipe_beside
from tests.flows.night import NIGHT, Calls, digests, opened
from ztf_in2p3.products import Kind
from ztf_in2p3.recipes import CatalogueRecipe, QuadrantRecipe

RECIPE = CatalogueRecipe(QuadrantRecipe(tolerance_days=12))
"""The night's masters serve it, and nothing is made by it yet."""
MEASURED = Kind.CATALOGUE, Kind.PSF, Kind.PSF_CATALOGUE
N_CCD = 2
"""CCD exposures that are measured here, four quadrants each."""


def test_an_image_is_detrended_once_and_each_product_is_what_it_is_alone(store, survey, tmp_path, calls: Calls):
    how = survey.scope | {"ccds": [3]}
    apart = shutil.copytree(store, tmp_path / "apart")

    together = catalogue(NIGHT, str(store), recipe=RECIPE, with_psf=True, **how)
    assert calls.so_far() == {"detrend_ccd": N_CCD, "aperture_catalogue": 4 * N_CCD}
    assert [len(together.of(kind)) for kind in MEASURED] == [N_CCD, 4 * N_CCD, 4 * N_CCD]

    alone = catalogue(NIGHT, str(apart), recipe=RECIPE, **how)
    psf(NIGHT, str(apart), recipe=psf_recipe_beside(RECIPE), **how)
    assert len(alone.of(Kind.PSF)) == 0
    assert digests(store, *MEASURED) == digests(apart, *MEASURED)
    calls.so_far()

    # What is there is found; a PSF that is lost costs the detrending of its quadrant, and no catalogue.
    (lost, *_), untouched = together.of(Kind.PSF), digests(store, *MEASURED)
    opened(store).remove(lost.ref)
    again = catalogue(NIGHT, str(store), recipe=RECIPE, with_psf=True, **how)
    assert calls.so_far() == {"detrend_ccd": 1}
    assert [built.ref for built in again.built if not built.found] == [lost.ref]
    assert digests(store, *MEASURED) == untouched
