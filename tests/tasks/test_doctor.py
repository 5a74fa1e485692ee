"""Server, cluster and store as `ztf doctor` asks them, where nothing has to be started, or only a Dask cluster."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tasks import doctor
from tasks.doctor import examine_cluster, examine_server, examine_store, note_no_server
from tests.lib.doctor.altered import named
from ztf_in2p3.doctor import Examination
from ztf_in2p3.errors import PipelineError


def test_a_dead_server_is_named():
    exam = Examination()
    examine_server(exam, "http://127.0.0.1:9/api", started=False)
    assert named(exam) == {"server: reach"}


class Busy(BaseHTTPRequestHandler):
    """A server whose database is busy at its first request, and that has nothing to tell."""

    asked = 0

    def do_GET(self) -> None:
        self.answer(b"true")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.answer(b"0" if self.path.endswith("count") else b"[]")

    def answer(self, body: bytes) -> None:
        type(self).asked += 1
        self.send_response(503 if self.asked == 1 else 200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        """Nothing on the terminal."""


def test_a_busy_server_is_asked_again(monkeypatch):
    monkeypatch.setattr(doctor, "_PATIENCE", (0.01, 0.01))
    with ThreadingHTTPServer(("127.0.0.1", 0), Busy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        exam = Examination()
        examine_server(exam, f"http://127.0.0.1:{server.server_port}/api", started=False)
        server.shutdown()
    assert "server: reach" not in named(exam)
    assert Busy.asked > 1


def test_what_to_do_about_a_server_stands_where_what_to_do_stands():
    exam = Examination()
    note_no_server(exam, PipelineError("no server answers at http://127.0.0.1:9/api; start that server, or unset it"))
    line = exam.findings[0]
    assert line.found == "no server answers at http://127.0.0.1:9/api"
    assert line.remedy == "start that server, or unset it"


def test_a_server_that_ended_is_looked_up_in_its_log():
    exam = Examination()
    note_no_server(exam, PipelineError("it ended with 1; its log says at the end:\nport taken"))
    assert "port taken" in exam.findings[0].found
    assert "server.log" in exam.findings[0].remedy


def test_a_store_that_may_not_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    exam = Examination()
    examine_store(exam, str(tmp_path / "file" / "store"))
    assert named(exam) == {"store: write"}
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_cluster_is_asked_for_workers_versions_and_the_store(tmp_path):
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster:
        exam = Examination()
        examine_cluster(exam, cluster.scheduler_address, str(tmp_path / "store"))
    assert named(exam) == set()
    assert len(exam.findings) == 4
    assert not (tmp_path / "store").exists()


def test_a_cluster_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.doctor._TIMEOUT", 1.0)
    exam = Examination()
    examine_cluster(exam, "tcp://127.0.0.1:9", str(tmp_path / "store"))
    assert named(exam) == {"cluster: reach"}
