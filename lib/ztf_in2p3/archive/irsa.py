"""The public archive of ZTF at IRSA, over HTTP.

Queries, addresses and login as on IRSA's page "ZTF API Queries".
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from ztf_in2p3.archive import metadata
from ztf_in2p3.archive.credentials import Credentials
from ztf_in2p3.archive.download import Transfer
from ztf_in2p3.archive.errors import NotInArchive, NotYetPublic
from ztf_in2p3.archive.layout import ArchiveFile
from ztf_in2p3.archive.patience import Patience
from ztf_in2p3.archive.web import Timeouts, Web
from ztf_in2p3.errors import PipelineError
from ztf_in2p3.identifiers import CcdExposure, Exposure, Filter, ImageType
from ztf_in2p3.periods import Period
from ztf_in2p3.products import Kind, Value

T = TypeVar("T")

logger = logging.getLogger(__name__)

IRSA_ADDRESS = "https://irsa.ipac.caltech.edu"
DATA_PATH = "ibe/data/ztf/products"
SEARCH_PATH = "ibe/search/ztf/products"

_TIMEOUTS = Timeouts()
_PATIENCE = Patience()


class Irsa:
    """The archive behind one web address.

    Share one among the threads of a process: the limit on simultaneous requests and the login
    are its own.  It can be pickled (the copy logs in for itself).

    Parameters
    ----------
    address
        ``https://host``, below which IRSA's paths begin.
    credentials
        Of an IRSA account; None sees what is public.
    concurrency
        Requests under way at any time; many parallel ones make the archive time out.
    sleep, clock
        To wait, and to measure how long a transfer takes (seconds).
    proxies
        As `requests` takes them, e.g. ``{"https": "http://host:3128"}``.
    """

    def __init__(
        self,
        address: str = IRSA_ADDRESS,
        credentials: Credentials | None = None,
        *,
        concurrency: int = 4,
        timeouts: Timeouts = _TIMEOUTS,
        patience: Patience = _PATIENCE,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        proxies: Mapping[str, str] | None = None,
    ) -> None:
        if concurrency < 1:
            raise ValueError(f"concurrency {concurrency}: at least one request at a time")
        self._again = functools.partial(
            Irsa, address, concurrency=concurrency, timeouts=timeouts, patience=patience, sleep=sleep, clock=clock,
            proxies=proxies,
        )  # fmt: skip
        self._web = Web(address, credentials, timeouts, clock, connections=concurrency, proxies=proxies)
        self._credentials = credentials
        self._patience = patience
        self._sleep = sleep
        self._slots = threading.BoundedSemaphore(concurrency)

    def __repr__(self) -> str:
        return f"Irsa({self._web.base!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return (self._again, (self._credentials,))

    def raws(
        self,
        period: Period,
        image_type: ImageType,
        *,
        filters: Iterable[Filter] | None = None,
        ccdids: Iterable[int] | None = None,
    ) -> list[CcdExposure]:
        """Raw files of one type whose night is in the period, sorted.

        Raises
        ------
        TransientError
            No usable answer for now.
        BadData
            The archive objects to the query, or its table is not what it should be.
        """
        where = [
            f"imgtypecode='{image_type.value}'",
            *metadata.one_of("filtercode", filters),
            *metadata.one_of("ccdid", ccdids),
        ]
        found = {metadata.ccd_exposure(row) for row in self._search("raw", period, where)}
        return sorted(ccd for ccd in found if ccd.exposure.night in period)

    def sciences(
        self, period: Period, *, filters: Iterable[Filter] | None = None, ccdids: Iterable[int] | None = None
    ) -> list[tuple[CcdExposure, int]]:
        """CCD exposures and quadrants that have a science image, sorted.  Errors as `raws`."""
        where = [*metadata.one_of("filtercode", filters), *metadata.one_of("ccdid", ccdids)]
        found = {(metadata.ccd_exposure(row), metadata.quadrant(row).qid) for row in self._search("sci", period, where)}
        return sorted((ccd, qid) for ccd, qid in found if ccd.exposure.night in period)

    def fetch(self, file: ArchiveFile, spool: Path, progress: Callable[[int], None] | None = None) -> dict[str, Value]:
        """Download a file to `spool`, whole and checked, or leave nothing there.

        Parameters
        ----------
        progress
            Told the bytes that arrived since the last call; a negative number takes back those
            of a try that failed.

        Returns
        -------
        What is worth knowing of it: `ztf_in2p3.archive.check.check`.

        Raises
        ------
        NotYetPublic, NotInArchive
            The archive has it listed or not, and does not deliver it.
        TransientError
            Truncated, damaged on the way, time-out, busy server: come back later.
        BadData
            Damaged in the archive itself, or not what its name says.
        """
        try:
            return self._fetch(file, file.path, spool, progress)
        except NotInArchive:
            # A few bias frames carry a field in the metadata and in their names; most have none.
            if file.kind is Kind.RAW and file.ccd.exposure.image_type is ImageType.BIAS and file.ccd.exposure.field:
                return self._fetch(file, _fieldless(file).path, spool, progress)
            raise

    def log_in(self) -> None:
        """Open a session, if there are credentials; otherwise the first request does.  Errors as `fetch`."""
        self._patience.keep_trying(self._web.log_in, self._sleep)

    def read(self, path: str, use: Callable[[Iterator[bytes]], T], params: Mapping[str, str] | None = None) -> T:
        """What `use` makes of an answer's bytes as they come, unchecked; what it leaves is not transferred."""

        def attempt() -> T:
            with self._web.get(path, params) as answer:
                return use(answer.chunks)

        with self._slots:
            return self._patience.keep_trying(attempt, self._sleep)

    def _fetch(
        self, file: ArchiveFile, path: str, spool: Path, progress: Callable[[int], None] | None
    ) -> dict[str, Value]:
        transfer = Transfer(self._web, file, f"{DATA_PATH}/{path}", spool, progress)
        try:
            with self._slots:  # kept while waiting: a server that asks for a pause gets fewer requests
                return self._patience.keep_trying(transfer, self._sleep)
        except NotInArchive as error:
            raise self._why_absent(file, error) from None

    def _why_absent(self, file: ArchiveFile, error: NotInArchive) -> NotInArchive:
        """Listed in the metadata: not public yet, or not for us.  Not listed: no such file."""
        e = file.ccd.exposure
        where = [f"ccdid={file.ccd.ccdid}"] + ([] if file.qid is None else [f"qid={file.qid}"])
        table = "raw" if file.kind is Kind.RAW else "sci"
        try:
            rows = [
                row
                for row in self._search(table, Period.of(e.night), where, ("ipac_pub_date",), quiet=True)
                if row["filefracday"] == e.filefracday
            ]
        except PipelineError:
            return NotInArchive(f"{error}, and why could not be found out; try again another day")
        if not rows:
            return NotInArchive(f"{error}, nor do its tables list it; check the name, or give credentials to see more")
        when = next((row["ipac_pub_date"] for row in rows if row["ipac_pub_date"]), "")
        told = f"it is to be public from {when}" if when else "its tables do not say when it will be public"
        return NotYetPublic(
            f"{error}, though its tables list it: {told}; wait until then, or give credentials that may see it"
        )

    def _search(
        self, table: str, period: Period, where: Sequence[str], more: tuple[str, ...] = (), *, quiet: bool = False
    ) -> Iterator[dict[str, str]]:
        columns = (*metadata.COLUMNS[table], *more)
        n_row = 0
        for within in metadata.spans(period):
            params = {"WHERE": " AND ".join([*within, *where]), "COLUMNS": ",".join(columns), "ct": "csv"}
            for row in self._query(f"{SEARCH_PATH}/{table}", params, columns):
                n_row += 1
                yield row
        if not n_row and self._credentials and not quiet:
            logger.warning(
                "%s: no %s rows in %s for user %s; a wrong password looks the same: should there be some, check it",
                self._web.base, table, period, self._credentials.user,
            )  # fmt: skip

    def _query(self, path: str, params: Mapping[str, str], columns: Sequence[str]) -> list[dict[str, str]]:
        name = f"{self._web.base}{path}"

        def attempt() -> list[dict[str, str]]:
            with self._web.get(path, params) as answer:
                return metadata.read_rows(b"".join(answer.chunks), columns, name)

        with self._slots:
            return self._patience.keep_trying(attempt, self._sleep)


def _fieldless(file: ArchiveFile) -> ArchiveFile:
    e = file.ccd.exposure
    return ArchiveFile(
        Kind.RAW, CcdExposure(Exposure(e.filefracday, 0, e.filter, e.image_type), file.ccd.ccdid), file.qid
    )
