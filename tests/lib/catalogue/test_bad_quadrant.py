"""A quadrant that cannot be used costs itself: tables of its three neighbours are the same to the last bit."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import ztf_in2p3 as ztf
from ztf_in2p3.camera import TINY
from ztf_in2p3.catalogue.aperture_catalogue import aperture_catalogue
from ztf_in2p3.catalogue.reference import stars_around
from ztf_in2p3.catalogue.science_image import read_mask
from ztf_in2p3.catalogue.stars import cone
from ztf_in2p3.detrend.quadrant import detrend_ccd
from ztf_in2p3.errors import BadData
from ztf_in2p3.hdus import read_header
from ztf_in2p3.identifiers import CcdExposure
from ztf_in2p3.recipes import CatalogueRecipe, PsfCatalogueRecipe, PsfRecipe
from ztf_in2p3.simulate.faults import spoil_amplifier
from ztf_in2p3.tables import REFERENCE

RECIPE = CatalogueRecipe()
SMALL = PsfCatalogueRecipe(psf=PsfRecipe(margin=2), side=15, max_stars=20)
"""Few stars on small stamps."""
LEVEL_ADU = 20_000.0
BROKEN = 2
FAULTS = {
    "nan": ("nan", False, "holds no pixel with data"),
    "saturated": ("saturated", False, "has 65535 ADU in all pixels"),
    "constant": ("constant", False, "has 1000 ADU in all pixels"),
    "no overscan": ("nan", True, "0 of 256 rows of the overscan hold data"),
}
"""What the amplifier writes, whether in its overscan, and what is said of it."""


@pytest.fixture(scope="module")
def night():
    return ztf.example_night()


class Measured:
    """Images, aperture catalogues and PSFs of a CCD exposure, and why quadrants are left out."""

    def __init__(self, night, raw, masks=None):
        headers = {qid: read_header(path) for qid, path in night.science.items()}
        self.failed = {}
        known = {}
        for qid, path in (masks or night.masks).items():
            try:
                known[qid] = read_mask(path)
            except BadData as error:
                self.failed[qid] = str(error)
                del headers[qid]
        self.images = detrend_ccd(
            raw, night.bias, night.flat, LEVEL_ADU, headers, known, TINY, RECIPE.quadrant, failed=self.failed
        )
        ccd = CcdExposure.parse(raw.name.split(".")[0])
        # All four headers, so that the stars are the same.
        sky = [ztf.SkyImage(None, read_header(path), path.name).wcs for path in night.science.values()]
        columns = [column.name for column in REFERENCE]
        parts = [pq.ParquetFile(part).read(columns) for part in sorted(night.folder.glob("reference/**/*.parquet"))]
        stars = stars_around(parts, *cone(sky, TINY.shape, beyond_arcsec=60))
        self.apertures = {
            qid: aperture_catalogue(image, header, stars, ccd, qid, TINY, RECIPE.photometry)
            for qid, (image, header) in self.images.items()
        }
        self.psfs = {
            qid: ztf.fit_psf(ztf.SkyImage(image, header, f"q{qid}"), recipe=SMALL)
            for qid, (image, header) in self.images.items()
        }


@pytest.fixture(scope="module")
def whole(night):
    measured = Measured(night, night.raw[0])
    assert not measured.failed
    assert all(table.num_rows > 20 for table in measured.apertures.values())
    return measured


def assert_neighbours_are_the_same(measured, whole):
    neighbours = {1, 2, 3, 4} - {BROKEN}
    assert set(measured.images) == set(measured.apertures) == set(measured.psfs) == neighbours
    for qid in neighbours:
        for plane in ("data", "variance", "mask"):
            np.testing.assert_array_equal(getattr(measured.images[qid][0], plane), getattr(whole.images[qid][0], plane))
        assert measured.images[qid][1].tostring() == whole.images[qid][1].tostring()
        assert measured.apertures[qid].equals(whole.apertures[qid])
        psf, expected = measured.psfs[qid], whole.psfs[qid]
        np.testing.assert_array_equal(psf.stars, expected.stars)
        np.testing.assert_array_equal(psf.model.shape, expected.model.shape)
        np.testing.assert_array_equal(psf.model.residual, expected.model.residual)


@pytest.mark.parametrize("kind", FAULTS)
def test_an_amplifier_that_does_not_work_costs_its_quadrant(night, whole, tmp_path, kind):
    fault, overscan, reason = FAULTS[kind]
    raw = Path(shutil.copy(night.raw[0], tmp_path))
    spoil_amplifier(raw, BROKEN, fault, overscan=overscan)
    measured = Measured(night, raw)
    assert set(measured.failed) == {BROKEN}
    assert reason in measured.failed[BROKEN]
    assert f"{night.raw[0].name}, quadrant {BROKEN}" in measured.failed[BROKEN]
    assert_neighbours_are_the_same(measured, whole)


def test_a_mask_that_cannot_be_read_costs_its_quadrant(night, whole, tmp_path):
    lost = tmp_path / night.masks[BROKEN].name
    lost.write_bytes(night.masks[BROKEN].read_bytes()[:4000])
    measured = Measured(night, night.raw[0], {**night.masks, BROKEN: lost})
    assert set(measured.failed) == {BROKEN}
    assert lost.name in measured.failed[BROKEN]
    assert_neighbours_are_the_same(measured, whole)
