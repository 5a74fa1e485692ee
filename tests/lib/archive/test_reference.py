"""Reference stars: no partition with a star of the cone is missed, and only our columns are read."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy_healpix import HEALPix
from hypothesis import given
from hypothesis import strategies as st

from tests.bucket import client_of, s3_service
from ztf_in2p3 import tables
from ztf_in2p3.archive.errors import NotInArchive
from ztf_in2p3.archive.reference import ReferenceCatalogue, enclosing_cone, partition_path
from ztf_in2p3.errors import BadData, TransientError
from ztf_in2p3.store.parquet import read_table

MIXED = {2: np.arange(0, 150), 3: np.arange(600, 700), 4: np.arange(2800, 3072)}
"""A whole sky whose partitions are of three sizes: 150 / 4^2, 100 / 4^3, 272 / 4^4 of a base pixel's parts."""


def catalogue(pixels):
    return ReferenceCatalogue("nowhere", {order: np.asarray(some) for order, some in pixels.items()}, {})


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
    assert partition_of(MIXED, star.ra.deg, star.dec.deg) in catalogue(MIXED).partitions(ra, dec, radius)


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

    found = {pixel for _, pixel in catalogue({order: np.arange(grid.npix)}).partitions(ra, dec, radius)}
    margin = float(grid.pixel_resolution.to_value("deg")) / 16
    wider = SkyCoord(ra, dec, unit="deg").directional_offset_by(
        bearing * units.deg, distance * (1 + margin / radius) * units.deg
    )
    assert hit <= found
    assert found <= hit | set(grid.lonlat_to_healpix(wider.ra, wider.dec).tolist())


def test_a_cone_larger_than_the_sky_touches_every_partition():
    assert len(catalogue(MIXED).partitions(10, 20, 180)) == sum(map(len, MIXED.values()))


def test_turns_of_the_circle_do_not_matter():
    sky = catalogue(MIXED)
    assert sky.partitions(-0.3, 12, 2) == sky.partitions(359.7, 12, 2)


@pytest.mark.parametrize("cone", [(0, 91, 1), (0, 0, -1), (float("nan"), 0, 1)])
def test_no_such_cone(cone):
    with pytest.raises(ValueError, match="no cone"):
        catalogue(MIXED).partitions(*cone)


# --- files


def stars(n=500):
    rng = np.random.default_rng(3)
    table = {
        "solution_id": rng.integers(0, 9, n),
        "source_id": rng.permutation(n) + 4_000_000_000_000_000_000,
        "ra": rng.uniform(0, 5, n),
        "dec": rng.uniform(0, 5, n),
    }
    for name in ("parallax", "pmra", "pmdec", "phot_g_mean_mag", "phot_bp_mean_mag", "phot_rp_mean_mag"):
        table[name] = rng.normal(15, 1, n)
    return pa.table(table)


def write_catalogue(root, table, order=1, pixel=20_017, info="Norder,Npix\n1,20017\n"):
    path = root / partition_path(order, pixel)
    path.parent.mkdir(parents=True)
    pq.write_table(table, path)
    (root / "partition_info.csv").write_text(info)
    return root


@pytest.mark.parametrize("info", ["Norder,Npix\n1,20017\n", "Norder,Dir,Npix\n1,20000,20017\n"])
def test_our_columns_come_in_our_types_sorted(tmp_path, info):
    table = stars()
    source = ReferenceCatalogue.open(str(write_catalogue(tmp_path / "cat", table, info=info)))
    assert (tmp_path / "cat/dataset/Norder=1/Dir=20000/Npix=20017.parquet").is_file()

    about = source.fetch(1, 20_017, tmp_path / "spool")

    found = read_table(tmp_path / "spool")
    assert about == {"order": 1, "pixel": 20_017, "stars": 500}
    assert found.schema.equals(tables.schema_of(tables.REFERENCE), check_metadata=False)
    assert found.schema.field("pmra").metadata[b"unit"] == b"mas / yr"
    expected = table.sort_by("source_id")
    assert found["ra"].to_pylist() == expected["ra"].to_pylist()  # float64 to the last bit
    np.testing.assert_allclose(
        found["phot_g_mean_mag"], expected["phot_g_mean_mag"], rtol=6e-8
    )  # half of float32's step
    assert [one.name for one in tmp_path.iterdir() if one.name != "cat"] == ["spool"]


def test_the_same_stars_give_the_same_bytes(tmp_path):
    table = stars()
    shuffled = table.take(np.random.default_rng(1).permutation(len(table)))
    for name, one in (("a", table), ("b", shuffled)):
        source = ReferenceCatalogue.open(str(write_catalogue(tmp_path / name / "cat", one)))
        source.fetch(1, 20_017, tmp_path / name / "spool")
    a, b = (read_table(tmp_path / name / "spool") for name in "ab")
    assert a.equals(b)


def test_a_missing_column_is_named(tmp_path):
    source = ReferenceCatalogue.open(str(write_catalogue(tmp_path / "cat", stars().drop_columns(["pmra", "ra"]))))
    with pytest.raises(BadData, match="no column ra, pmra"):
        source.fetch(1, 20_017, tmp_path / "spool")
    assert not (tmp_path / "spool").exists()


def test_a_column_of_another_kind_is_refused(tmp_path):
    words = stars().drop_columns(["ra"]).append_column("ra", pa.array(["east"] * 500))
    source = ReferenceCatalogue.open(str(write_catalogue(tmp_path / "cat", words)))
    with pytest.raises(BadData, match="east"):
        source.fetch(1, 20_017, tmp_path / "spool")


def test_a_partition_that_is_no_parquet_file_is_bad_data(tmp_path):
    root = write_catalogue(tmp_path / "cat", stars())
    (root / partition_path(1, 20_017)).write_text("not a table")
    with pytest.raises(BadData, match="Npix=20017"):
        ReferenceCatalogue.open(str(root)).fetch(1, 20_017, tmp_path / "spool")


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(NotInArchive, match="partition_info"):
        ReferenceCatalogue.open(str(tmp_path / "nowhere"))
    source = ReferenceCatalogue.open(str(write_catalogue(tmp_path / "cat", stars())))
    with pytest.raises(NotInArchive, match="Npix=7"):
        source.fetch(1, 7, tmp_path / "spool")


@pytest.mark.parametrize(
    ("info", "words"), [("order,pixel\n1,2\n", "no column Norder, Npix"), ("Norder,Npix\n", "lists no partition"),
                        ("Norder,Npix\n1,two\n", "line 2")],
)  # fmt: skip
def test_a_list_of_partitions_that_makes_no_sense_is_refused(tmp_path, info, words):
    with pytest.raises(BadData, match=words):
        ReferenceCatalogue.open(str(write_catalogue(tmp_path / "cat", stars(), info=info)))


def test_a_storage_that_does_not_answer_may_answer_later():
    quick = {"config_kwargs": {"retries": {"max_attempts": 1}, "connect_timeout": 1}}
    with pytest.raises(TransientError, match="did not answer"):
        ReferenceCatalogue.open("s3://bucket/cat", endpoint_url="http://127.0.0.1:9", **quick)


def test_a_catalogue_in_a_bucket_is_read_like_one_on_disk(tmp_path):
    root = write_catalogue(tmp_path / "cat", stars())
    with s3_service() as address:
        s3 = client_of(address)
        s3.create_bucket(Bucket="stars")
        for path in root.rglob("*.*"):
            if path.is_file():
                s3.upload_file(str(path), "stars", f"hats/{path.relative_to(root)}")
        remote = ReferenceCatalogue.open(
            "s3://stars/hats", endpoint_url=address, anon=False, key="any", secret="any", skip_instance_cache=True
        )
        remote.fetch(1, 20_017, tmp_path / "remote")
        with pytest.raises(NotInArchive):
            remote.fetch(1, 8, tmp_path / "absent")
    ReferenceCatalogue.open(str(root)).fetch(1, 20_017, tmp_path / "local")
    assert read_table(tmp_path / "remote").equals(read_table(tmp_path / "local"))


@given(st.lists(st.tuples(st.floats(-180, 540), st.floats(-89, 89)), min_size=1, max_size=4), st.floats(0.01, 1))
def test_an_enclosing_cone_holds_every_one(centres, radius):
    # Cones that lie near each other: the others are moved to within a degree or so of the first.
    ra_0, dec_0 = centres[0]
    near = [(ra_0 + ra % 1, float(np.clip(dec_0 + dec % 1, -90, 90)), radius) for ra, dec in centres]
    ra, dec, reach = enclosing_cone(near)
    each = SkyCoord([(one[0], one[1]) for one in near], unit="deg")
    apart = SkyCoord(ra * units.deg, dec * units.deg).separation(each).deg
    assert (apart + radius <= reach + 1e-9).all()
