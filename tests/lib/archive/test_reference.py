"""Reference stars: the catalogue is found and checked wherever it is, and each star comes once."""

from __future__ import annotations

import functools
import http.server
import re
import shutil
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units
from astropy_healpix import HEALPix

from tests.bucket import client_of, know_only, s3_service
from ztf_in2p3 import tables
from ztf_in2p3.archive import storage
from ztf_in2p3.archive.errors import AccessDenied, NotInArchive
from ztf_in2p3.archive.patience import Patience
from ztf_in2p3.archive.reference import ReferenceCatalogue, partition_path
from ztf_in2p3.errors import BadData, TransientError
from ztf_in2p3.store.parquet import read_table

ORDER, PIXEL = 6, 20_017
HASTY = {"patience": Patience(tries=1, first_wait=0)}


def stars(n=500, *, scheme="nested", **columns):
    """Stars of one pixel, in no order; beside our columns one of no interest."""
    rng = np.random.default_rng(3)
    lon, lat = HEALPix(2**ORDER, scheme).healpix_to_lonlat(np.full(n, PIXEL), *rng.uniform(0.01, 0.99, (2, n)))
    table = {
        "solution_id": rng.integers(0, 9, n),
        "source_id": rng.permutation(n) + 4_000_000_000_000_000_000,
        "ra": lon.to_value(units.deg),
        "dec": lat.to_value(units.deg),
    }
    for name in ("parallax", "pmra", "pmdec", "phot_g_mean_mag", "phot_bp_mean_mag", "phot_rp_mean_mag"):
        table[name] = rng.normal(15, 1, n)
    return pa.table(table | columns)


def write_catalogue(root, table, *, info=f"Norder,Npix\n{ORDER},{PIXEL}\n", parts=1, properties=""):
    """A catalogue of one partition: a file, or a folder of several."""
    path = root / partition_path(ORDER, PIXEL)
    if parts == 1:
        path.parent.mkdir(parents=True)
        pq.write_table(table, path)
    else:
        path.with_suffix("").mkdir(parents=True)
        step = -(-len(table) // parts)
        for k in range(parts):
            pq.write_table(table.slice(k * step, step), path.with_suffix("") / f"part{k}.snappy.parquet")
    if info:
        (root / "partition_info.csv").write_text(info)
    (root / "hats.properties").write_text(f"# a catalogue\nobs_collection=test\n{properties}\n")
    return root


def fetched(source, folder, order=ORDER, pixel=PIXEL):
    folder.mkdir(exist_ok=True)
    about = source.fetch(order, pixel, folder / "spool")
    return about, read_table(folder / "spool")


@contextmanager
def web_server(root, handler=http.server.SimpleHTTPRequestHandler):
    class Quiet(handler):
        def log_message(self, *_):
            """Nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(root)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class InPieces(http.server.SimpleHTTPRequestHandler):
    """Hands out ranges of bytes, as real servers do and Python's own does not."""

    def do_GET(self):
        asked, path = self.headers.get("Range"), Path(self.translate_path(self.path))
        if not asked or not path.is_file():
            super().do_GET()
            return
        content = path.read_bytes()
        first, last = (int(n) for n in re.fullmatch(r"bytes=(\d+)-(\d+)", asked).groups())
        piece = content[first : last + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{first + len(piece) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(piece)))
        self.end_headers()
        self.wfile.write(piece)


def answering(status, body=b"", *, only="", headers=()):
    """A server that gives one answer to everything (below a path that contains `only`)."""

    class Stubborn(InPieces):
        def do_GET(self):
            if only not in self.path:
                super().do_GET()
                return
            self.send_response(status)
            for name, value in (*headers, ("Content-Length", str(len(body)))):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    return Stubborn


# --- what comes out of a partition


@pytest.mark.parametrize("info", [f"Norder,Npix\n{ORDER},{PIXEL}\n", f"Norder,Dir,Npix\n{ORDER},20000,{PIXEL}\n"])
def test_our_columns_come_in_our_types_sorted(tmp_path, info):
    table = stars()
    source = ReferenceCatalogue.open(str(write_catalogue(tmp_path / "cat", table, info=info)))
    assert (tmp_path / "cat/dataset/Norder=6/Dir=20000/Npix=20017.parquet").is_file()

    about, found = fetched(source, tmp_path / "out")

    assert about == {"order": ORDER, "pixel": PIXEL, "stars": 500}
    assert found.schema.equals(tables.schema_of(tables.REFERENCE), check_metadata=False)
    assert found.schema.field("pmra").metadata[b"unit"] == b"mas / yr"
    expected = table.sort_by("source_id")
    assert found["ra"].to_pylist() == expected["ra"].to_pylist()  # float64 to the last bit
    np.testing.assert_allclose(
        found["phot_g_mean_mag"], expected["phot_g_mean_mag"], rtol=6e-8
    )  # half of float32's step
    assert [one.name for one in (tmp_path / "out").iterdir()] == ["spool"]


@pytest.mark.parametrize("parts", [1, 3])
def test_a_star_that_is_listed_twice_comes_once_and_rows_without_a_place_do_not_come(tmp_path, parts):
    table = stars()
    ra = np.where(np.arange(500) < 7, np.nan, table["ra"].to_numpy())
    table = table.set_column(2, "ra", pa.array(ra))
    nameless = table.slice(400, 3).set_column(1, "source_id", pa.array([None] * 3, pa.int64()))
    rows = pa.concat_tables([table, table.slice(100, 300), nameless])
    rows = rows.take(np.random.default_rng(1).permutation(len(rows)))
    source = ReferenceCatalogue.open(str(write_catalogue(tmp_path / "cat", rows, parts=parts)))

    about, found = fetched(source, tmp_path / "out")

    assert about == {"order": ORDER, "pixel": PIXEL, "stars": 493, "repeated": 300, "unusable": 10}
    assert found["source_id"].to_pylist() == sorted(table["source_id"].to_pylist()[7:])


def test_the_same_stars_give_the_same_bytes_in_whatever_order_and_files(tmp_path):
    table = pa.concat_tables([stars(), stars().set_column(4, "parallax", pa.array(np.zeros(500)))])  # twice, and unlike
    shuffled = table.take(np.random.default_rng(1).permutation(len(table)))
    for name, rows, parts in (("a", table, 1), ("b", shuffled, 2)):
        source = ReferenceCatalogue.open(str(write_catalogue(tmp_path / f"cat {name}", rows, parts=parts)))
        fetched(source, tmp_path / name)
    assert (tmp_path / "a/spool").read_bytes() == (tmp_path / "b/spool").read_bytes()


def test_an_empty_partition_has_no_stars(tmp_path):
    source = ReferenceCatalogue.open(str(write_catalogue(tmp_path / "cat", stars().slice(0, 0))))
    about, found = fetched(source, tmp_path / "out")
    assert about["stars"] == found.num_rows == 0


# --- where a catalogue is found


def laid_out(folder, *, form, parts, info=True):
    """Address below `folder` of a catalogue, or of the collection that it is the main table of."""
    suffix = "hats_npix_suffix=/" if parts > 1 else "hats_npix_suffix=.parquet"
    text = {} if info else {"info": ""}
    write_catalogue(folder / "hats/gaia", stars(), parts=parts, properties=suffix, **text)
    (folder / "hats/collection.properties").write_text("obs_collection=gaia\nhats_primary_table_url = gaia\n")
    return "hats" if form == "collection" else "hats/gaia"


@pytest.mark.parametrize("info", [True, False], ids=["listed", "unlisted"])
@pytest.mark.parametrize("parts", [1, 2], ids=["file", "folder"])
@pytest.mark.parametrize("form", ["catalogue", "collection"])
def test_a_catalogue_in_a_folder(tmp_path, form, parts, info):
    place = laid_out(tmp_path, form=form, parts=parts, info=info)
    for location in (f"{tmp_path}/{place}", f"{tmp_path}/{place}/", f"file://{tmp_path}/{place}"):
        source = ReferenceCatalogue.open(location)
        assert source.pixels[ORDER].tolist() == [PIXEL]
    assert fetched(source, tmp_path / "out")[0]["stars"] == 500


@pytest.mark.parametrize("handler", [http.server.SimpleHTTPRequestHandler, InPieces], ids=["whole", "pieces"])
@pytest.mark.parametrize(("form", "parts"), [("catalogue", 1), ("collection", 2)])
def test_a_catalogue_on_the_web(tmp_path, handler, form, parts):
    place = laid_out(tmp_path / "www", form=form, parts=parts)
    with web_server(tmp_path / "www", handler) as address:
        _, found = fetched(ReferenceCatalogue.open(f"{address}/{place}", **HASTY), tmp_path / "web")
    assert found.equals(fetched(ReferenceCatalogue.open(f"{tmp_path}/www/{place}"), tmp_path / "local")[1])


def test_a_web_server_without_lists_of_files_tells_them_by_the_metadata_of_all(tmp_path):
    place = laid_out(tmp_path / "www", form="catalogue", parts=2, info=False)
    dataset = tmp_path / "www" / place / "dataset"
    collected = []
    for path in sorted(dataset.rglob("*.parquet")):
        collected.append(pq.read_metadata(path))
        collected[-1].set_file_path(str(path.relative_to(dataset)))
    pq.write_metadata(pq.read_schema(path), dataset / "_metadata", collected)

    class Listless(InPieces):
        def list_directory(self, path):
            self.send_error(403)

    with web_server(tmp_path / "www", Listless) as address:
        source = ReferenceCatalogue.open(f"{address}/{place}", **HASTY)
        assert fetched(source, tmp_path / "out")[0]["stars"] == 500


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    """A bucket with a catalogue of files, and a collection whose partition is a folder."""
    folder = tmp_path_factory.mktemp("bucket")
    laid_out(folder / "one", form="collection", parts=2)
    laid_out(folder / "two", form="collection", parts=1, info=False)
    with s3_service() as address:
        s3 = client_of(address)
        s3.create_bucket(Bucket="stars", ACL="public-read")
        for path in folder.rglob("*"):
            if path.is_file():
                s3.upload_file(str(path), "stars", str(path.relative_to(folder)), ExtraArgs={"ACL": "public-read"})
        yield address


@pytest.mark.parametrize("place", ["one/hats", "one/hats/gaia", "two/hats/gaia"])
@pytest.mark.parametrize("credentials", [True, False])
def test_a_catalogue_in_a_bucket(tmp_path, bucket, monkeypatch, place, credentials):
    know_only(bucket, monkeypatch)
    if not credentials:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    storage._has_credentials.cache_clear()
    source = ReferenceCatalogue.open(f"s3://stars/{place}")
    about, _ = fetched(source, tmp_path / "out")
    assert about["stars"] == 500
    with pytest.raises(NotInArchive):
        source.fetch(ORDER, 8, tmp_path / "absent")


def test_what_is_not_in_a_bucket_is_named(bucket, monkeypatch):
    know_only(bucket, monkeypatch)
    storage._has_credentials.cache_clear()
    with pytest.raises(NotInArchive, match="no such bucket"):
        ReferenceCatalogue.open("s3://nobodys/hats")
    with pytest.raises(NotInArchive, match="s3://stars/nowhere"):
        ReferenceCatalogue.open("s3://stars/nowhere")
    with pytest.raises(BadData, match=r"ztf reference import s3://stars/gaia\.parquet"):
        ReferenceCatalogue.open("s3://stars/gaia.parquet")


# --- what goes wrong


def test_a_storage_that_does_not_answer_may_answer_later():
    quick = {"config_kwargs": {"retries": {"max_attempts": 1}, "connect_timeout": 1}}
    with pytest.raises(TransientError, match="did not answer"):
        ReferenceCatalogue.open("s3://bucket/cat", anon=True, endpoint_url="http://127.0.0.1:9", **quick)
    with pytest.raises(TransientError, match="no answer"):
        ReferenceCatalogue.open("http://127.0.0.1:9/cat", **HASTY)


PAGE = b"<html><body>Please accept the cookies</body></html>"


@pytest.mark.parametrize(
    ("handler", "error", "words"),
    [
        (answering(403), AccessDenied, "not allowed"),
        (answering(404), NotInArchive, "partition_info.csv"),
        (answering(503), TransientError, "busy or down"),
        (answering(429, headers=[("Retry-After", "7")]), TransientError, "429"),
        (answering(200, PAGE), BadData, "accept the cookies"),
        (answering(503, only=".parquet"), TransientError, "Npix=20017.parquet"),
        (answering(403, only=".parquet"), AccessDenied, "Npix=20017.parquet"),
        (answering(404, only="Npix="), NotInArchive, "Npix=20017"),
        (answering(200, PAGE, only=".parquet"), BadData, "page of text"),
    ],
    ids=["403", "404", "503", "429", "page", "partition 503", "partition 403", "partition 404", "partition page"],
)
def test_a_servers_refusals_are_told_apart(tmp_path, handler, error, words):
    place = laid_out(tmp_path, form="catalogue", parts=1)
    with web_server(tmp_path, handler) as address, pytest.raises(error, match=words) as raised:
        ReferenceCatalogue.open(f"{address}/{place}", **HASTY)
    assert isinstance(raised.value, TransientError) == (error is TransientError)


def test_a_server_that_is_busy_once_is_asked_again(tmp_path):
    place, asked = laid_out(tmp_path, form="catalogue", parts=1), []

    class Busy(InPieces):
        def do_GET(self):
            asked.append(self.path)
            return self.send_error(503) if len(asked) % 2 else super().do_GET()

    with web_server(tmp_path, Busy) as address:
        source = ReferenceCatalogue.open(f"{address}/{place}", patience=Patience(first_wait=0))
        assert fetched(source, tmp_path / "out")[0]["stars"] == 500


@pytest.mark.parametrize("name", ["gaia.parquet", "gaia.fits", "gaia.dat"])
def test_a_single_table_is_told_what_to_do_with_it(tmp_path, name):
    pq.write_table(stars(), tmp_path / name)
    with pytest.raises(BadData, match=f"single table.*ztf reference import {tmp_path / name} FOLDER"):
        ReferenceCatalogue.open(str(tmp_path / name))


def test_a_folder_with_a_table_in_it_is_told_what_to_do_with_the_table(tmp_path):
    pq.write_table(stars(), tmp_path / "gaia.parquet")
    with pytest.raises(NotInArchive, match=f"ztf reference import {tmp_path}/gaia.parquet FOLDER"):
        ReferenceCatalogue.open(str(tmp_path))


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(NotInArchive, match=r"nowhere.*partition_info"):
        ReferenceCatalogue.open(str(tmp_path / "nowhere"))
    source = ReferenceCatalogue.open(str(write_catalogue(tmp_path / "cat", stars())))
    with pytest.raises(NotInArchive, match="Npix=7"):
        source.fetch(ORDER, 7, tmp_path / "spool")
    shutil.rmtree(tmp_path / "cat/dataset")
    with pytest.raises(NotInArchive, match="none of the 1 partitions"):
        ReferenceCatalogue.open(str(tmp_path / "cat"))


def test_a_copy_of_a_part_of_the_sky_is_good_enough(tmp_path):
    info = f"Norder,Npix\n6,3\n6,4\n{ORDER},{PIXEL}\n7,1\n"
    source = ReferenceCatalogue.open(str(write_catalogue(tmp_path / "cat", stars(), info=info)))
    assert fetched(source, tmp_path / "out")[0]["stars"] == 500


@pytest.mark.parametrize("location", ["", "  ", "s3:/bucket/x", "s3://", "gs://bucket/x", "http://", "file:/x"])
def test_addresses_that_cannot_exist_are_refused(location):
    with pytest.raises(ValueError, match="expected a folder, s3://bucket/prefix"):
        ReferenceCatalogue.open(location)


BROKEN = {
    "no column": (stars().drop_columns(["pmra", "ra"]), "no column ra; no column pmra"),
    "text": (stars(ra=["east"] * 500), "ra is of type string, expected float64"),
    "single precision": (stars(dec=np.zeros(500, np.float32)), "dec is of type float, expected float64"),
    "identifiers as numbers with a point": (stars(source_id=np.arange(500.0)), "source_id is of type double"),
    "magnitudes as text": (stars(phot_g_mean_mag=["15"] * 500), "phot_g_mean_mag is of type string"),
    "ring ordering": (stars(scheme="ring"), "ring ordering"),
    "radians": (stars(ra=np.full(500, 0.3), dec=np.full(500, 0.1)), "degrees"),
    "epoch": (stars(ref_epoch=np.full(500, 2015.5)), "epoch 2015.5, expected 2016"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_cannot_be_the_catalogue_is_refused_when_it_is_opened(tmp_path, kind):
    table, words = BROKEN[kind]
    root = str(write_catalogue(tmp_path / "cat", table))
    with pytest.raises(BadData, match=words):
        ReferenceCatalogue.open(root, epoch=2016.0)
    # The same where only this partition is so.
    source = ReferenceCatalogue(root, {ORDER: np.array([PIXEL])}, {}, epoch=2016.0)
    with pytest.raises(BadData, match=words):
        source.fetch(ORDER, PIXEL, tmp_path / "spool")
    assert not (tmp_path / "spool").exists()


def test_identifiers_beyond_a_signed_number_are_refused_not_wrapped(tmp_path):
    table = stars(source_id=np.arange(500, dtype=np.uint64) + np.uint64(2**63))
    source = ReferenceCatalogue.open(str(write_catalogue(tmp_path / "cat", table)))
    with pytest.raises(BadData, match="do not fit"):
        source.fetch(ORDER, PIXEL, tmp_path / "spool")


DAMAGE = {
    "no Parquet": (lambda content: b"not a table", "Npix=20017"),
    "a page": (lambda content: b"<html>Log in first</html>", "page of text, '<html>Log in first"),
    "truncated": (lambda content: content[: len(content) // 2], "breaks off after"),
    "nothing": (lambda content: b"", "empty"),
    "zeros in the middle": (lambda content: content[:400] + bytes(9000) + content[9400:], "cannot be read"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_partition_is_bad_data(tmp_path, kind):
    damage, words = DAMAGE[kind]
    root = write_catalogue(tmp_path / "cat", stars())
    path = root / partition_path(ORDER, PIXEL)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BadData, match=words):
        ReferenceCatalogue(str(root), {ORDER: np.array([PIXEL])}, {}).fetch(ORDER, PIXEL, tmp_path / "spool")


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ("order,pixel\n1,2\n", "no column Norder, Npix"),
        ("Norder,Npix\n", "lists no partition"),
        ("Norder,Npix\n1,two\n", "line 2"),
        ("Norder,Npix\n1,48\n", "no pixel 48 of order 1"),
        ("<html></html>", "page of text"),
    ],
)
def test_a_list_of_partitions_that_makes_no_sense_is_refused(tmp_path, info, words):
    with pytest.raises(BadData, match=words):
        ReferenceCatalogue.open(str(write_catalogue(tmp_path / "cat", stars(), info=info)))


@pytest.mark.parametrize(
    ("text", "words"), [("obs_collection=gaia\n", "no hats_primary_table_url in it, it has obs_collection"),
                        ("hats_primary_table_url=elsewhere\n", "elsewhere")],
)  # fmt: skip
def test_a_collection_that_leads_nowhere_is_refused(tmp_path, text, words):
    (tmp_path / "collection.properties").write_text(text)
    with pytest.raises(BadData, match=words):
        ReferenceCatalogue.open(str(tmp_path))


def test_a_table_of_something_else_is_refused(tmp_path):
    root = write_catalogue(tmp_path / "cat", stars(), properties="dataproduct_type=margin")
    with pytest.raises(BadData, match="kind margin"):
        ReferenceCatalogue.open(str(root))
