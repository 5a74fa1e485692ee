"""A command does not outlive its server, and is patient with one that is only busy."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from flows.cli.health import LOOPBACK, problem_at

ROOT = Path(__file__).parents[3]
SCRIPT = """
import sys, time
from flows.cli import health, watch
health.ANSWER_SECONDS, watch.LOOK_SECONDS, watch.LOST_SECONDS, watch.BUSY_SECONDS = 0.3, 0.1, 0.5, float(sys.argv[2])
with watch.ending_without(sys.argv[1], "catalogue"):
    print("under way", flush=True)
    sys.stdin.read()
"""
PATIENCE = 60  # seconds, for what takes one on an idle machine


class Server(ThreadingHTTPServer):
    """Answers as Prefect's does when it is asked for its health, as long as it has the time."""

    daemon_threads = True
    busy = False

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/api"


class Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        while self.server.busy:
            time.sleep(0.05)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"true")

    def log_message(self, *_: object) -> None:
        """Nothing: the test's own output is enough."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Health) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.busy = False
        running.shutdown()


def command(api: str, busy_seconds: float) -> subprocess.Popen:
    """A command that works until its input ends, or its server."""
    environment = os.environ | {"no_proxy": ",".join(LOOPBACK)}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, api, str(busy_seconds)], cwd=ROOT, env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout.readline() == "under way\n"
    return process


def test_a_command_whose_server_is_gone_ends_in_a_line(server):
    with command(server.api, PATIENCE) as process:
        assert problem_at(server.api) is None
        server.shutdown()
        server.server_close()
        assert process.wait(PATIENCE) == 1
        (line,) = process.stderr.read().splitlines()
    assert "ztf catalogue failed: the server was lost: no server answers at" in line


def test_a_server_without_time_to_answer_is_not_lost(server):
    server.busy = True
    with command(server.api, PATIENCE) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(3)  # six times what a server may be silent that takes no connections
        server.busy = False
        _, errors = process.communicate("", PATIENCE)
        assert (process.returncode, errors) == (0, "")


def test_a_server_that_never_answers_is_lost_in_the_end(server):
    server.busy = True
    with command(server.api, 1.0) as process:
        assert process.wait(PATIENCE) == 1
        assert "the server was lost" in process.stderr.read()
