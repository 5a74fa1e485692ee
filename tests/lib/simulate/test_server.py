"""The look-alike answers as the archive's documentation says, whoever asks."""

from __future__ import annotations

import csv
import io
import shutil
import threading
from datetime import date

import pytest
import requests

from tests.lib.archive.tiny_tree import EMBARGOED, LATER, SECRET, SKY, write_tree
from ztf_in2p3.simulate.server import Fault, Injected, IrsaLookalike, Weather

LOGIN = "/account/signon/login.do"
FORM = {"josso_cmd": "login", "josso_username": "me", "josso_password": "right"}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture
def server(tree):
    with IrsaLookalike(tree, private=[f"*{SECRET.parts[0]}*"], users={"me": "right"}, quirks=None) as one:
        yield one


def search(server, table="raw", session=requests, **params):
    answer = session.get(f"{server.url}/ibe/search/ztf/products/{table}", params={"ct": "csv"} | params, timeout=10)
    assert answer.status_code == 200
    return answer.text


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def data(server, path, session=requests):
    return session.get(f"{server.url}/ibe/data/ztf/products/{path}", timeout=10)


def logged_in(server, **form):
    session = requests.Session()
    assert session.post(server.url + LOGIN, data=FORM | form, timeout=10).status_code == 200
    return session


def test_where_is_sql_and_columns_come_as_asked(server):
    text = search(server, WHERE="imgtypecode='o' AND ccdid IN (3,4) AND obsjd<2458579", COLUMNS="filefracday,ccdid")
    assert text.splitlines()[0] == "filefracday,ccdid"
    assert [row["ccdid"] for row in rows(text)] == ["3", "4"]
    assert {row["filefracday"] for row in rows(text)} == {SKY.parts[0]}


def test_without_columns_all_come(server, tree):
    (row,) = rows(search(server, "sci", WHERE="field=656"))
    assert list(row) == (tree / "meta/sci.csv").read_text().splitlines()[0].split(",")
    assert row["obsjd"] == str(LATER.obsjd)


def test_no_match_is_a_header_line(server):
    assert search(server, WHERE="field=1", COLUMNS="field,ccdid") == "field,ccdid\n"


def test_a_position_finds_the_images_that_overlap_its_box(server):
    def found(**box):
        return len(rows(search(server, "sci", WHERE="field=656", **box)))

    # The image covers RA 57.99 to 58.01 and Dec 35.74 to 35.76.
    assert found(POS="58.0,35.75") == 1
    assert found(POS="58.1,35.75") == 0
    assert found(POS="58.1,35.75", SIZE="0.2") == 1  # 0.081 degree on the sky, less than half the width
    assert found(POS="58.0,35.85", SIZE="0.2,0.17") == 0
    assert found(POS="58.0,35.85", SIZE="0.17,0.2") == 1
    assert found(POS="238.0,-35.75") == 0


@pytest.mark.parametrize(
    "query",
    [
        {"WHERE": "nonsense="},
        {"WHERE": "1=1", "COLUMNS": "led"},
        {},
        {"POS": "1,2"},
        {"WHERE": "1=1); DROP TABLE raw; --"},
    ],
)
def test_a_senseless_query_gets_an_xml_message_with_status_200(server, query):
    assert search(server, **query).startswith("<?xml")
    assert len(rows(search(server, WHERE="1=1"))) > 1


def test_tap_knows_the_same_tables(server):
    sql = "SELECT filefracday, ccdid FROM ztf.ztf_current_meta_sci WHERE qid=2"
    answer = requests.get(f"{server.url}/TAP/sync", params={"QUERY": sql, "FORMAT": "csv"}, timeout=10)
    assert answer.text == f"filefracday,ccdid\n{SKY.parts[0]},3\n"


@pytest.mark.parametrize("sql", ["DELETE FROM raw", "SELECT * FROM nowhere", "PRAGMA writable_schema=1"])
def test_tap_refuses_what_is_no_query(server, sql):
    answer = requests.get(f"{server.url}/TAP/sync", params={"QUERY": sql}, timeout=10)
    assert answer.text.startswith("<?xml")


def test_files_come_byte_for_byte(server, tree):
    assert data(server, SKY.raw).content == (tree / SKY.raw).read_bytes()


@pytest.mark.parametrize(
    "path", ["raw/2019/nothing", "meta/raw.csv", "../secret", "raw/../meta/raw.csv", "raw//etc/hosts"]
)
def test_nothing_else_is_served(server, path):
    prepared = requests.Request("GET", server.url).prepare()
    prepared.url = f"{server.url}/ibe/data/ztf/products/{path}"  # not tidied up by the client
    assert requests.Session().send(prepared, timeout=10).status_code == 404


def test_a_table_that_grows_is_read_again(tree, tmp_path):
    shutil.copytree(tree / "meta", tmp_path / "meta")
    with IrsaLookalike(tmp_path, quirks=None) as server:
        before = rows(search(server, WHERE="1=1"))
        with (tmp_path / "meta/raw.csv").open("a") as stream:
            stream.write(",".join((before[0] | {"ccdid": "16"}).values()))
        assert len(rows(search(server, WHERE="1=1"))) == len(before) + 1
        assert len(rows(search(server, WHERE="ccdid=16"))) == 1


# --- who sees what


def test_the_private_is_seen_in_a_session_only(server, tree):
    private = f"filefracday={SECRET.parts[0]}"
    mine = logged_in(server)
    assert len(rows(search(server, WHERE=private))) == 0
    assert len(rows(search(server, WHERE=private, session=mine))) == 1
    assert data(server, SECRET.raw).status_code == 404
    assert data(server, SECRET.raw, mine).content == (tree / SECRET.raw).read_bytes()


def test_tap_keeps_the_private_too(server):
    sql = f"SELECT ccdid FROM ztf.ztf_current_meta_raw WHERE filefracday={SECRET.parts[0]}"
    params = {"QUERY": sql, "FORMAT": "csv"}
    assert requests.get(f"{server.url}/TAP/sync", params=params, timeout=10).text == "ccdid\n"
    assert logged_in(server).get(f"{server.url}/TAP/sync", params=params, timeout=10).text == "ccdid\n3\n"


@pytest.mark.parametrize("form", [{"josso_password": "wrong"}, {"josso_username": "nobody"}])
def test_a_wrong_password_looks_like_an_empty_table(server, form):
    session = logged_in(server, **form)
    assert search(server, WHERE=f"filefracday={SECRET.parts[0]}", COLUMNS="ccdid", session=session) == "ccdid\n"


def test_an_expired_session_gets_the_login_page(server):
    session = logged_in(server)
    server.expire_sessions()
    for text in (search(server, WHERE="1=1", session=session), data(server, SKY.raw, session).text):
        assert "josso_password" in text
    assert search(server, WHERE="1=1").startswith("infobits")  # the anonymous have no session to lose


def test_what_is_not_yet_public_is_listed_but_not_found(tree):
    path = EMBARGOED.quadrant(1, "mskimg.fits")
    with IrsaLookalike(tree, today=date(2029, 12, 31), quirks=None) as server:
        assert len(rows(search(server, WHERE=f"filefracday={EMBARGOED.parts[0]}"))) == 1
        assert (data(server, path).status_code, data(server, EMBARGOED.raw).status_code) == (404, 404)
        assert data(server, SKY.raw).status_code == 200
    with IrsaLookalike(tree, today=date(2030, 1, 2), quirks=None) as server:
        assert data(server, path).status_code == 200


# --- faults


def test_a_fault_befalls_so_many_matching_requests_and_no_more(server):
    server.inject(Fault.UNAVAILABLE, "*/raw/*", times=2, retry_after="5")
    assert data(server, SKY.quadrant(1, "sciimg.fits")).status_code == 200
    answers = [data(server, SKY.raw) for _ in range(3)]
    assert [one.status_code for one in answers] == [503, 503, 200]
    assert answers[0].headers["Retry-After"] == "5"
    assert [seen.fault for seen in server.requests] == [None, Fault.UNAVAILABLE, Fault.UNAVAILABLE, None]


def test_faults_for_one_path_come_in_turn_and_can_be_healed(tree):
    with IrsaLookalike(tree, faults=[Injected(Fault.NOT_FOUND), Injected(Fault.TOO_MANY, times=5)]) as server:
        assert [data(server, SKY.raw).status_code for _ in range(2)] == [404, 429]
        server.heal()
        assert data(server, SKY.raw).status_code == 200


def test_broken_bodies_are_broken_as_named(server, tree):
    whole = (tree / SKY.raw).read_bytes()
    server.inject(Fault.SHORT)
    short = data(server, SKY.raw)
    assert short.content == whole[: len(whole) // 2]
    assert int(short.headers["Content-Length"]) == len(short.content)

    server.inject(Fault.TRUNCATED)
    with requests.get(f"{server.url}/ibe/data/ztf/products/{SKY.raw}", stream=True, timeout=10) as answer:
        assert int(answer.headers["Content-Length"]) == len(whole)
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            _ = answer.content

    server.inject(Fault.CORRUPT)
    corrupt = data(server, SKY.raw).content
    assert len(corrupt) == len(whole)
    assert 0 < sum(a != b for a, b in zip(corrupt, whole, strict=True)) <= 32

    server.inject(Fault.RESET)
    with pytest.raises(requests.ConnectionError):
        data(server, SKY.raw)


def reaches(server, count):
    """Whether as many requests are under way within five seconds."""
    for _ in range(500):
        if server.under_way == count:
            return True
        threading.Event().wait(0.01)
    return False


def test_leaving_ends_a_stall(tree):
    with IrsaLookalike(tree) as server:
        server.inject(Fault.STALL)
        answer = requests.get(f"{server.url}/ibe/data/ztf/products/{SKY.raw}", stream=True, timeout=(5, 0.2))
        with pytest.raises(requests.ConnectionError, match="timed out"):
            _ = answer.content
        assert server.under_way == 1
    assert reaches(server, 0)


def test_held_requests_are_counted(server):
    server.hold()
    asking = [threading.Thread(target=data, args=(server, SKY.raw)) for _ in range(3)]
    for one in asking:
        one.start()
    assert reaches(server, 3)
    server.release()
    for one in asking:
        one.join(10)
    # The server counts a request as ended a moment after the one who asked has the answer.
    assert reaches(server, 0)
    assert server.busiest == 3


# --- weather


def test_bad_weather_strikes_its_share_of_the_requests_with_every_kind_of_fault():
    n, weather = 6000, Weather(0.1, seed=3)
    struck = [weather.fault(f"/file {k}", 1) for k in range(n)]
    for kinds in weather.kinds:
        share = sum(fault in kinds for fault in struck) / n
        assert abs(share - 0.1) < 4 * (0.1 * 0.9 / n) ** 0.5  # four standard deviations of a binomial share
        assert set(kinds) <= set(struck)
    assert {Weather(0.0).fault(f"/file {k}", 1) for k in range(100)} == {None}
    with pytest.raises(ValueError, match="at least one is good"):
        Weather(0.4)


def test_the_weather_is_the_same_again_and_passes(tree):
    def statuses(seed):
        answers = []
        with IrsaLookalike(tree, quirks=None, weather=Weather(0.3, seed)) as server:
            for _ in range(12):
                try:
                    answer = data(server, SKY.raw)
                    answers.append((answer.status_code, len(answer.content)))
                except requests.RequestException:
                    answers.append((0, 0))
            server.heal()
            assert data(server, SKY.raw).content == (tree / SKY.raw).read_bytes()
        return answers

    assert statuses(1) == statuses(1) != statuses(2)
    assert (200, (tree / SKY.raw).stat().st_size) in statuses(1)
