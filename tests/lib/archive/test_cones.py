"""No pixel of a HEALPix grid with a star of the cone is missed."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy_healpix import HEALPix
from hypothesis import given
from hypothesis import strategies as st

from ztf_in2p3.archive.cones import PixelsOnSky, enclosing_cone, pixels_touching

MIXED = {2: np.arange(0, 150), 3: np.arange(600, 700), 4: np.arange(2800, 3072)}
"""A whole sky whose partitions are of three sizes: 150 / 4^2, 100 / 4^3, 272 / 4^4 of a base pixel's parts."""


def touching(pixels, *cone):
    return pixels_touching({order: np.asarray(of_order) for order, of_order in pixels.items()}, cone)


def partition_of(pixels, ra, dec):
    """Slow and obvious: the one partition that a position is in."""
    (found,) = [
        (order, int(pixel))
        for order, some in pixels.items()
        for pixel in HEALPix(2**order, "nested").lonlat_to_healpix(
            np.atleast_1d(ra) * units.deg, np.atleast_1d(dec) * units.deg
        )
        if pixel in some
    ]
    return found


cones = st.tuples(
    st.floats(-360, 720),
    st.one_of(st.floats(-90, 90), st.sampled_from([-90.0, 90.0, 0.0, 41.8103])),
    st.floats(0.001, 20),
)


@given(cone=cones, bearing=st.floats(0, 360), part=st.one_of(st.floats(0, 0.9999), st.just(0.9999)))
def test_a_star_of_the_cone_is_in_one_of_its_partitions(cone, bearing, part):
    ra, dec, radius = cone
    star = SkyCoord(ra, dec, unit="deg").directional_offset_by(bearing * units.deg, part * radius * units.deg)
    assert partition_of(MIXED, star.ra.deg, star.dec.deg) in touching(MIXED, ra, dec, radius)


SKY = PixelsOnSky(MIXED)
"""Asked for each cone below, so that it knows boundaries from the cones before."""


@given(cone=cones)
def test_what_is_remembered_of_other_cones_changes_no_answer(cone):
    assert SKY.touching(cone) == touching(MIXED, *cone)


def test_the_mixed_sky_is_whole():
    assert sum(len(pixels) / (12 * 4**order) for order, pixels in MIXED.items()) == 1


@pytest.mark.parametrize(
    ("ra", "dec"), [(0.0, 0.0), (359.9999, 10.0), (45.0, 89.99), (123.0, -90.0), (57.99, 35.75), (45.0, 41.81)]
)
def test_hardly_a_partition_is_listed_in_vain(ra, dec):
    """Partitions that hold none of 200 000 points of the cone must lie within 1/32 of an edge beyond it."""
    order, radius = 6, 1.0
    grid = HEALPix(2**order, "nested")
    rng = np.random.default_rng(20190405)
    bearing, distance = rng.uniform(0, 360, 200_000), radius * np.sqrt(rng.uniform(0, 1, 200_000))
    bearing[:20_000], distance[:20_000] = (
        np.linspace(0, 360, 20_000),
        radius,
    )  # the rim, where a corner may just reach in
    points = SkyCoord(ra, dec, unit="deg").directional_offset_by(bearing * units.deg, distance * units.deg)
    hit = set(grid.lonlat_to_healpix(points.ra, points.dec).tolist())

    found = {pixel for _, pixel in touching({order: np.arange(grid.npix)}, ra, dec, radius)}
    margin = float(grid.pixel_resolution.to_value("deg")) / 16
    wider = SkyCoord(ra, dec, unit="deg").directional_offset_by(
        bearing * units.deg, distance * (1 + margin / radius) * units.deg
    )
    assert hit <= found
    assert found <= hit | set(grid.lonlat_to_healpix(wider.ra, wider.dec).tolist())


def test_a_cone_larger_than_the_sky_touches_every_partition():
    assert len(touching(MIXED, 10, 20, 180)) == sum(map(len, MIXED.values()))


def test_turns_of_the_circle_do_not_matter():
    assert touching(MIXED, -0.3, 12, 2) == touching(MIXED, 359.7, 12, 2)


@pytest.mark.parametrize("cone", [(0, 91, 1), (0, 0, -1), (float("nan"), 0, 1)])
def test_no_such_cone(cone):
    with pytest.raises(ValueError, match="no cone"):
        touching(MIXED, *cone)


@given(st.lists(st.tuples(st.floats(-180, 540), st.floats(-89, 89)), min_size=1, max_size=4), st.floats(0.01, 1))
def test_an_enclosing_cone_holds_every_one(centres, radius):
    # Cones that lie near each other: the others are moved to within a degree or so of the first.
    ra_0, dec_0 = centres[0]
    near = [(ra_0 + ra % 1, float(np.clip(dec_0 + dec % 1, -90, 90)), radius) for ra, dec in centres]
    ra, dec, reach = enclosing_cone(near)
    each = SkyCoord([(one[0], one[1]) for one in near], unit="deg")
    apart = SkyCoord(ra * units.deg, dec * units.deg).separation(each).deg
    assert (apart + radius <= reach + 1e-9).all()
