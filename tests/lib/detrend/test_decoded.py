"""Masters from a machine's cache are those of their files, bit for bit, whatever happens to the cache."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from ztf_in2p3.camera import TINY
from ztf_in2p3.detrend.bad_pixels import read_masks, write_masks
from ztf_in2p3.detrend.ccd_master import CcdMaster
from ztf_in2p3.detrend.decoded import DecodedMasters
from ztf_in2p3.errors import BadData
from ztf_in2p3.store.node_cache import NodeCache

QIDS = range(1, 5)


class Product:
    """A file, and how often it was opened."""

    def __init__(self, path: Path) -> None:
        self.path, self.times = path, 0

    @contextmanager
    def opened(self):
        self.times += 1
        yield self.path


@pytest.fixture
def flat(tmp_path) -> Product:
    rng = np.random.default_rng(3)
    data = {qid: rng.normal(1, 0.01, TINY.shape).astype(np.float32) for qid in QIDS}
    data[2][5, 7] = np.nan
    variance = {qid: rng.uniform(1e-6, 2e-6, TINY.shape).astype(np.float32) for qid in QIDS}
    count = {qid: np.full(TINY.shape, 10, np.uint16) for qid in QIDS}
    cards = {"FLTNORM": (20123.456789, "level [adu]"), "NFRAMES": (10, "frames"), "FILTER": ("zg", "band")}
    CcdMaster(3, data, variance, count, cards).write(tmp_path / "flat.fits")
    return Product(tmp_path / "flat.fits")


@pytest.fixture
def bad_pixels(tmp_path) -> Product:
    rng = np.random.default_rng(4)
    masks = {qid: (rng.random(TINY.shape) < 0.01).astype(np.uint16) * np.uint16(260) for qid in QIDS}
    masks[3][:] = 0
    write_masks(tmp_path / "bad.fits", masks, {})
    return Product(tmp_path / "bad.fits")


@pytest.fixture
def masters(tmp_path) -> DecodedMasters:
    return DecodedMasters(NodeCache(tmp_path / "cache"))


def planes(masters: DecodedMasters, product: Product) -> dict[str, np.ndarray]:
    with masters.master("d1", product.opened, TINY) as master:
        values = {f"{qid}": np.array(master.data[qid]) for qid in QIDS}
        return values | {f"{qid} variance": np.array(master.variance[qid]) for qid in QIDS}


def assert_as_in_the_file(masters: DecodedMasters, product: Product) -> None:
    with CcdMaster.open(product.path, TINY) as true, masters.master("d1", product.opened, TINY) as master:
        assert (master.ccdid, master.cards) == (true.ccdid, true.cards)
        for qid in QIDS:
            np.testing.assert_array_equal(master.data[qid], true.data[qid])
            np.testing.assert_array_equal(master.variance[qid], true.variance[qid])


def test_planes_and_cards_are_those_of_the_file_which_is_opened_once(masters, flat):
    for _ in range(3):
        assert_as_in_the_file(masters, flat)
    assert flat.times == 1


def test_what_a_process_writes_into_a_plane_is_its_own(masters, flat):
    with masters.master("d1", flat.opened, TINY) as master:
        master.data[1][:] = 0
        plane = master.data[1]
        plane += 5
        assert type(plane) is np.ndarray
    assert_as_in_the_file(masters, flat)


def test_masks_are_those_of_the_file(masters, bad_pixels):
    true = read_masks(bad_pixels.path, TINY)
    for _ in range(2):
        masks = masters.masks("d2", bad_pixels.opened, TINY)
        assert sorted(masks) == list(QIDS)
        for qid in QIDS:
            assert masks[qid].dtype == np.uint16
            np.testing.assert_array_equal(masks[qid], true[qid])
        masks[1][:] = 1
    assert bad_pixels.times == 1


@pytest.mark.parametrize("name", ["Q1.npy", "Q4_VAR.npy", "cards.json", "sizes.json"])
def test_a_file_cut_by_a_crash_is_written_again(masters, flat, name):
    planes(masters, flat)
    (cut,) = masters.cache.folder.glob(f"*/{name}")
    cut.write_bytes(cut.read_bytes()[:-3])
    assert_as_in_the_file(masters, flat)
    assert flat.times == 2


def test_a_disk_that_takes_nothing_costs_time_only(tmp_path, flat, bad_pixels):
    (tmp_path / "a file").write_text("")
    masters = DecodedMasters(NodeCache(tmp_path / "a file" / "cache"))
    assert_as_in_the_file(masters, flat)
    np.testing.assert_array_equal(masters.masks("d2", bad_pixels.opened, TINY)[1], read_masks(bad_pixels.path, TINY)[1])
    assert_as_in_the_file(DecodedMasters(), flat)


def test_a_file_that_is_no_master_is_refused_and_leaves_nothing(masters, tmp_path):
    (tmp_path / "page.fits").write_text("<html>")
    with pytest.raises(BadData, match=r"page\.fits: not a FITS file"):
        planes(masters, Product(tmp_path / "page.fits"))
    assert list(masters.cache.folder.iterdir()) == []
