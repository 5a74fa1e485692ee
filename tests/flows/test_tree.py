"""A computing centre's tree: raw files unpacked, science headers without their pixels; and the wrong level of it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
from astropy.io import fits

from flows.calibrate import calibrate
from flows.catalogue import catalogue
from flows.download import download
from tests.flows.night import NIGHT, opened
from ztf_in2p3.archive import NotInArchive
from ztf_in2p3.hdu import image_header
from ztf_in2p3.hdus import read_hdus, read_pixels
from ztf_in2p3.products import Kind, ccd_of
from ztf_in2p3.simulate.faults import drop_pixels
from ztf_in2p3.store.parquet import read_table


def unpack(path: Path) -> None:
    """As funpack does it: plain images under a name without ``.fz``."""
    primary, *packed = read_hdus(path)
    images = [
        fits.ImageHDU(read_pixels(path, index, hdu), image_header(hdu)) for index, hdu in enumerate(packed, start=1)
    ]
    fits.HDUList([fits.PrimaryHDU(header=primary.header), *images]).writeto(path.with_suffix(""))
    path.unlink()


@pytest.fixture
def tree(survey, tmp_path: Path) -> Path:
    tree = shutil.copytree(survey.tree, tmp_path / "centre" / "tree", copy_function=os.link)
    for raw in tree.glob("raw/**/*.fits.fz"):
        unpack(raw)
    for science in tree.glob("sci/**/*_sciimg.fits"):
        content = science.read_bytes()
        science.unlink()  # the link, not the survey's own file
        science.write_bytes(content)
        drop_pixels(science)
    return tree


def catalogues(store: Path | str) -> dict:
    products = opened(store)
    tables = {}
    for built in products.list(Kind.CATALOGUE):
        with products.open(built.ref) as path:
            tables[ccd_of(built.ref)] = read_table(path).to_pandas()
    return tables


def test_unpacked_frames_and_bare_headers_give_the_same_catalogues(tree, survey, reduced, tmp_path):
    store, scope = str(tmp_path / "store"), survey.scope
    assert not download(NIGHT, store, archive=str(tree), **survey.stars, **scope).set_aside
    calibrate(NIGHT, store, **scope)
    assert not catalogue(NIGHT, store, **scope).set_aside
    expected, measured = catalogues(reduced.store), catalogues(store)
    assert measured.keys() == expected.keys()
    for ccd, table in measured.items():
        pd.testing.assert_frame_equal(table, expected[ccd], check_exact=True)


def test_a_level_too_high_is_said_with_what_was_looked_for_and_found(tree, survey, tmp_path):
    with pytest.raises(NotInArchive, match=rf"looked for raw/YYYY/MMDD/.*found only tree; did you mean {tree}\?"):
        download(NIGHT, str(tmp_path / "store"), archive=str(tree.parent), **survey.stars, **survey.scope)
    assert not (tmp_path / "store").exists()
