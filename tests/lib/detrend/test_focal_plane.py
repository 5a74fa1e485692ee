"""The level of the focal plane is the median over the CCDs there are."""

import numpy as np
import pytest

from ztf_in2p3.detrend.focal_plane import FlatLevel, common_level, focal_plane
from ztf_in2p3.errors import BadData, MissingProduct
from ztf_in2p3.tables import FOCAL_PLANE, schema_of


@pytest.mark.parametrize("ccdids", [range(1, 17), (3, 7, 12), (5,)])
def test_the_common_level_is_the_median_over_any_number_of_ccds(ccdids):
    levels = [FlatLevel(ccdid, 20_000.0 + 100 * ccdid, 1 + 0.001 * ccdid) for ccdid in ccdids]
    table = focal_plane(reversed(levels))
    assert common_level(table) == np.median([one.level * one.median for one in levels])
    assert table.schema.metadata[b"N_CCD"] == str(len(levels)).encode()
    assert table["ccd"].to_pylist() == list(ccdids)
    assert table.schema.equals(schema_of(FOCAL_PLANE))


def test_a_flat_on_disk_and_in_memory_say_the_same(flat, tmp_path):
    flat.write(tmp_path / "flat.fits")
    assert FlatLevel.read(tmp_path / "flat.fits") == FlatLevel.of(flat)


def test_what_is_no_flat_is_refused(bias, tmp_path):
    bias.write(tmp_path / "bias.fits")
    with pytest.raises(BadData, match=r"bias\.fits: no card FLTNORM"):
        FlatLevel.read(tmp_path / "bias.fits")


def test_no_flat_or_two_of_one_ccd():
    with pytest.raises(MissingProduct, match="no flats"):
        focal_plane([])
    with pytest.raises(BadData, match="several flats of one CCD"):
        focal_plane([FlatLevel(3, 2e4, 1.0), FlatLevel(3, 2.1e4, 1.0)])
    with pytest.raises(BadData, match="make it again"):
        common_level(focal_plane([FlatLevel(3, 2e4, 1.0)]).replace_schema_metadata({}))
