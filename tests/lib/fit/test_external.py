"""Stars of an external catalogue hold those of the measurements, by identifier or by place."""

import numpy as np
import pyarrow as pa
import pytest

from ztf_in2p3.errors import BadData
from ztf_in2p3.fit.external import External
from ztf_in2p3.fit.sources import TableSource

STARS = np.array([3, 5, 9, 12])
RA, DEC = np.array([0.0, 10.0, 20.0, 359.9999]), np.array([0.0, 5.0, -5.0, 40.0])


@pytest.fixture
def measured():
    """Three measurements of each star, a tenth of an arcsecond apart."""
    star = np.repeat(STARS, 3)
    shift = np.tile([-1, 0, 1], 4) / 36000
    return TableSource(pa.table({"star_id": star, "ra": np.repeat(RA, 3), "dec": np.repeat(DEC, 3) + shift}))


def test_a_catalogue_without_identifiers_is_matched_by_place(measured):
    table = pa.table({"ra": RA[[2, 0]], "dec": DEC[[2, 0]], "mag": [16.0, 15.0], "mag_e": [0.02, 0.01]})
    anchors = External(table, 1.0).anchors(measured)
    order = np.argsort(anchors.star_id)
    np.testing.assert_array_equal(anchors.star_id[order], [3, 9])
    np.testing.assert_array_equal(anchors.mag[order], [15.0, 16.0])
    np.testing.assert_array_equal(anchors.sigma[order], [0.01, 0.02])


def test_what_cannot_hold_is_told(measured):
    elsewhere = pa.table({"ra": RA, "dec": DEC + 0.01, "mag": np.full(4, 15.0), "mag_e": np.full(4, 0.01)})
    with pytest.raises(BadData, match="compare their places"):
        External(elsewhere, 1.0).anchors(measured)
    with pytest.raises(BadData, match="mag_e"):
        External(elsewhere.drop_columns(["mag_e"]), 1.0).anchors(measured)
    with pytest.raises(BadData, match="no ra and dec"):
        External(elsewhere, 1.0).anchors(TableSource(pa.table({"star_id": STARS})))
