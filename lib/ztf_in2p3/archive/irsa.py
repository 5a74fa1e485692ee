"""The public archive of ZTF at IRSA, over HTTP.

Queries, addresses and login as on IRSA's page "ZTF API Queries".
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from ztf_in2p3.addresses import IRSA_ADDRESS
from ztf_in2p3.archive import metadata
from ztf_in2p3.archive.credentials import Credentials
from ztf_in2p3.archive.download import Transfer
from ztf_in2p3.archive.errors import AccessDenied, LoginRefused, NotInArchive, PageInstead
from ztf_in2p3.archive.header import BLOCK
from ztf_in2p3.archive.irsa_tables import IrsaTables
from ztf_in2p3.archive.layout import ArchiveFile
from ztf_in2p3.archive.listing import FileState, Listing
from ztf_in2p3.archive.patience import Patience
from ztf_in2p3.archive.web import Timeouts, Web
from ztf_in2p3.errors import PipelineError
from ztf_in2p3.identifiers import CcdExposure, Exposure, Filter, ImageType
from ztf_in2p3.periods import Period
from ztf_in2p3.products import Kind, Value

T = TypeVar("T")

DATA_PATH = "ibe/data/ztf/products"

RECHECKS = 2
"""Tries after a refusal that nothing explains."""
REFUSALS = (NotInArchive, AccessDenied, PageInstead)
"""Answers that servers now and then give to what they answer a moment later."""

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
        Name and password of an IRSA account; None sees what is public.
    concurrency
        Requests under way at any time; many parallel ones make the archive time out.
    sleep, clock
        To wait, and to measure how long a transfer takes (seconds).
    proxies
        As `urllib.request.getproxies` gives them, e.g. ``{"https": "http://host:3128", "no": "localhost"}``; this
        machine itself is never reached through one.
    ca_bundle
        File or folder of certificates to trust instead of the usual ones.
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
        ca_bundle: str | None = None,
    ) -> None:
        if concurrency < 1:
            raise ValueError(f"concurrency {concurrency}: at least one request at a time")
        self._again = functools.partial(
            Irsa,
            address,
            concurrency=concurrency,
            timeouts=timeouts,
            patience=patience,
            sleep=sleep,
            clock=clock,
            proxies=proxies,
            ca_bundle=ca_bundle,
        )
        self._web = Web(
            address, credentials, timeouts, clock, connections=concurrency, proxies=proxies, ca_bundle=ca_bundle
        )
        self._credentials = credentials
        self._patience = patience
        self._sleep = sleep
        self._slots = threading.BoundedSemaphore(concurrency)
        self._tables = IrsaTables(self._web, self._ask_patiently, credentials.user if credentials else "")

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
    ) -> Listing[CcdExposure]:
        """Raw files of one type whose night is in the period, sorted, and the rows that could not be understood.

        Raises
        ------
        TransientError
            No usable answer for now.
        BadData
            The archive objects to the query, its table lacks an indispensable column, or most of its rows cannot be
            understood.
        """
        where = [
            f"imgtypecode='{image_type.value}'",
            *metadata.one_of("filtercode", filters),
            *metadata.one_of("ccdid", ccdids),
        ]
        entries, skipped, versions = self._tables.entries("raw", period, where)
        return Listing.of([ccd for ccd, _ in entries], skipped, {ccd: text for (ccd, _), text in versions.items()})

    def sciences(
        self, period: Period, *, filters: Iterable[Filter] | None = None, ccdids: Iterable[int] | None = None
    ) -> Listing[tuple[CcdExposure, int]]:
        """CCD exposures and quadrants that have a science image, sorted.  Skipped rows and errors as `raws`."""
        where = [*metadata.one_of("filtercode", filters), *metadata.one_of("ccdid", ccdids)]
        entries, skipped, versions = self._tables.entries("sci", period, where)
        quadrants = [(ccd, qid) for ccd, qid in entries if qid is not None]
        return Listing.of(quadrants, skipped, {(ccd, qid): text for (ccd, qid), text in versions.items() if qid})

    def fetch(self, file: ArchiveFile, path: Path, progress: Callable[[int], None] | None = None) -> dict[str, Value]:
        """Download a file to `path`, whole and checked, or leave nothing there.

        Parameters
        ----------
        progress
            Told the bytes that arrived since the last call; a negative number takes back those
            of a try that failed.

        Returns
        -------
        What is worth knowing of it: `ztf_in2p3.archive.check.check`, and its state in the archive: `FileState.about`.

        Raises
        ------
        NotYetPublic, NotInArchive
            The archive has it listed or not, and does not deliver it.
        TransientError
            Truncated, damaged on the way, time-out, busy server: come back later.
        BadData
            Damaged in the archive itself, or not what its name says.
        """
        transfer = functools.cache(lambda name: Transfer(self._web, file, f"{DATA_PATH}/{name}", path, progress))
        return self._ask(file, lambda name: transfer(name)())

    def state(self, file: ArchiveFile) -> FileState:
        """Size and date of a file as the archive has it now; its content is not transferred.  Errors as `fetch`."""

        def ask(path: str) -> FileState:
            with self._web.get(f"{DATA_PATH}/{path}", chunk=BLOCK) as answer:
                return FileState(answer.length, answer.date)

        return self._ask(file, ask)

    def _ask(self, file: ArchiveFile, ask: Callable[[str], T]) -> T:
        """The answer to a question about a file, under whichever of its names the archive keeps it.

        Servers of files refuse now and then what they hand out a moment later.  So a refusal that the tables do not
        explain is asked about once more.
        """

        def attempt() -> T:
            try:
                return ask(file.path)
            except NotInArchive:
                # A few bias frames carry a field in the metadata and in their names; most have none.
                if file.kind is Kind.RAW and file.ccd.exposure.image_type is ImageType.BIAS and file.ccd.exposure.field:
                    return ask(_fieldless(file).path)
                raise

        try:
            return self._patiently(attempt, self._patience)
        except NotInArchive as error:
            reason, is_explained = self._tables.why_absent(file, error)
        except LoginRefused:
            raise
        except REFUSALS as error:
            reason, is_explained = error, False
        if is_explained:
            raise reason
        try:
            return self._patiently(attempt, replace(self._patience, tries=RECHECKS), REFUSALS)
        except NotInArchive:
            raise reason from None

    def _ask_patiently(self, attempt: Callable[[], T]) -> T:
        """The answer to a question about the tables, whose refusals are doubted."""
        return self._patiently(attempt, self._patience, REFUSALS)

    def _patiently(
        self, attempt: Callable[[], T], patience: Patience, doubted: tuple[type[PipelineError], ...] = ()
    ) -> T:
        with self._slots:  # kept while waiting: a server that asks for a pause gets fewer requests
            return patience.keep_trying(attempt, self._sleep, doubted=doubted)

    def log_in(self) -> None:
        """Open a session, if there are credentials; otherwise the first request does.  Errors as `fetch`."""
        self._patience.keep_trying(self._web.log_in, self._sleep)

    def read(self, path: str, use: Callable[[Iterator[bytes]], T], params: Mapping[str, str] | None = None) -> T:
        """What `use` makes of an answer's bytes as they come, unchecked; what it leaves is not transferred."""

        def attempt() -> T:
            with self._web.get(path, params) as answer:
                return use(answer.chunks)

        return self._patiently(attempt, self._patience)

    def read_file(self, file: ArchiveFile, use: Callable[[Iterator[bytes]], T]) -> T:
        """`read` of a file of the archive, under whichever of its names it is kept."""

        def ask(path: str) -> T:
            with self._web.get(f"{DATA_PATH}/{path}") as answer:
                return use(answer.chunks)

        return self._ask(file, ask)


def _fieldless(file: ArchiveFile) -> ArchiveFile:
    e = file.ccd.exposure
    return ArchiveFile(
        Kind.RAW, CcdExposure(Exposure(e.filefracday, 0, e.filter, e.image_type), file.ccd.ccdid), file.qid
    )
