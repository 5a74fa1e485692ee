"""Flows that detrend, and are given no recipe, follow the masters that the store has."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flows.calibrate import calibrate
from flows.psf import psf
from flows.scene import scene
from tests.flows.night import NIGHT, opened
from tests.flows.test_nothing import targets
from ztf_in2p3.errors import MissingProduct
from ztf_in2p3.products import Kind, exposure_of
from ztf_in2p3.recipes import CatalogueRecipe, FocalPlaneRecipe, PsfCatalogueRecipe, QuadrantRecipe, digest


def other(version: int) -> CatalogueRecipe:
    """Masters of the same frames by another recipe."""
    return CatalogueRecipe(quadrant=QuadrantRecipe(focal_plane=FocalPlaneRecipe(version=version)))


def test_psf_and_scene_take_the_masters_that_there_are_and_say_which_they_lack(store, survey, tmp_path):
    products, chosen = opened(store), tmp_path / "one.txt"
    chosen.write_text(exposure_of(products.list(Kind.CATALOGUE)[0].ref).filefracday)
    how = survey.scope | {"ccds": [3], "exposures": str(chosen)}
    for built in products.list(Kind.FOCAL_PLANE):
        products.remove(built.ref)
    calibrate(NIGHT, str(store), recipe=other(7), **survey.scope)

    measured = psf(NIGHT, str(store), **how)
    of_masters = PsfCatalogueRecipe(quadrant=other(7).quadrant)
    assert {built.ref.recipe for built in measured.of(Kind.PSF)} == {digest(of_masters)}
    assert len(measured.of(Kind.PSF)) == 4

    asked = replace(of_masters, quadrant=other(8).quadrant)
    with pytest.raises(MissingProduct, match=f"no masters of recipe {digest(asked.quadrant)}, but of .*--recipe"):
        psf(NIGHT, str(store), recipe=asked, **how)

    calibrate(NIGHT, str(store), recipe=other(9), **survey.scope)
    names = [digest(other(version).quadrant.calibrations) for version in (7, 9)]
    with pytest.raises(MissingProduct, match=f"but of {', '.join(sorted(names))}"):
        scene(str(store), targets(tmp_path), camera="tiny", workers=0)
