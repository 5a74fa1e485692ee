"""The examination that ``ztf doctor`` makes: each finding is shown as it comes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from flows.cli.server import ServerFailed, WrongServer, home_folder, served_api, server
from tasks import doctor as examinations
from tasks.runtime.parameters import scope_of
from tasks.runtime.settings import cluster as named_cluster
from ztf_in2p3.doctor import Examination, Finding, Status
from ztf_in2p3.doctor.report import TITLES, table_lines, troubles

_COLOURS = {Status.OK: "32", Status.DIFFERS: "33", Status.FAIL: "31", Status.SKIPPED: "2"}


def examine(
    night: str,
    store: str,
    archive: str,
    reference: str,
    camera: str,
    *,
    cluster: str | None,
    ccd: int | None,
    filter: str | None,
    json: Path | None,
) -> int:
    """Look at everything, and write the report; the parameters are those of the command.

    Returns
    -------
    0 if all is OK, else 1.
    """
    scope = scope_of(night, camera, None if ccd is None else [ccd], None if filter is None else [filter])
    exam = Examination(_Table())
    examinations.examine_installation(exam)
    examinations.examine_night(exam, scope.period, archive, reference, scope.camera, ccdid=ccd, filter_=filter)
    examinations.examine_store(exam, store)
    _examine_server(exam)
    examinations.examine_cluster(exam, cluster or named_cluster(), store)
    _finish(exam)
    if json is not None:
        arguments = {"night": night, "store": store, "archive": archive, "reference": reference, "camera": camera}
        examinations.write_report(exam, json, arguments)
        sys.stdout.write(f"report: {json}\n")
    return 0 if exam.all_ok else 1


def _examine_server(exam: Examination) -> None:
    given = os.environ.get("PREFECT_API_URL") or served_api(home_folder())
    try:
        with server() as api:
            examinations.examine_server(exam, api, started=not given)
    except (ServerFailed, WrongServer) as error:
        examinations.note_no_server(exam, error)


def _finish(exam: Examination) -> None:
    counts = ", ".join(f"{number} {status}" for status, number in exam.counts.items() if number)
    sys.stdout.write(f"\n{counts}\n")
    for name in troubles(exam.findings):
        sys.stdout.write(f"  {name}\n")


class _Table:
    """Writes findings as they come, group by group; coloured on a terminal."""

    def __init__(self) -> None:
        self._group = ""
        self._coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def __call__(self, finding: Finding) -> None:
        if not self._group:
            sys.stdout.write(f"{TITLES.rstrip()}\n")
        if finding.group != self._group:
            sys.stdout.write(f"\n{finding.group}\n")
            self._group = finding.group
        first, *more = table_lines(finding)
        if self._coloured:
            first = f"\033[{_COLOURS[finding.status]}m{first[:7]}\033[0m{first[7:]}"
        sys.stdout.write("\n".join([first, *more]) + "\n")
        sys.stdout.flush()
