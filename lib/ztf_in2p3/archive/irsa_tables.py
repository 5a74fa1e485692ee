"""Tables of the archive: which files it has, of which edition, and when they become public."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from ztf_in2p3.archive import metadata
from ztf_in2p3.archive.duplicates import Listed, without_contradictions
from ztf_in2p3.archive.errors import NotInArchive, NotYetPublic
from ztf_in2p3.archive.layout import ArchiveFile
from ztf_in2p3.archive.listing import Skipped
from ztf_in2p3.archive.numbers import is_empty
from ztf_in2p3.archive.web import Web
from ztf_in2p3.errors import PipelineError, TransientError
from ztf_in2p3.periods import Period
from ztf_in2p3.products import Kind

T = TypeVar("T")

logger = logging.getLogger(__name__)

SEARCH_PATH = "ibe/search/ztf/products"


class Patiently(Protocol):
    """Function that repeats an attempt while another one may succeed."""

    def __call__(self, attempt: Callable[[], T]) -> T:
        """The result of the attempt that succeeded."""
        ...


class IrsaTables:
    """Queries of the archive's tables.

    Parameters
    ----------
    web
        Session with the archive.
    patiently
        Makes the attempts, as many at a time and as often as the archive bears.
    user
        Name of the account; empty if there is none.
    """

    def __init__(self, web: Web, patiently: Patiently, user: str) -> None:
        self._web, self._patiently, self._user = web, patiently, user

    def entries(
        self, table: str, period: Period, where: Sequence[str]
    ) -> tuple[list[Listed], list[Skipped], dict[Listed, str]]:
        """Files that a table lists of a period's nights, the rows set aside, and the version of each file."""
        what = f"rows of the archive's {table} table"
        versions: dict[Listed, str] = {}
        skipped: list[Skipped] = []
        for answer in self._search(table, period, where, metadata.VERSION_COLUMNS[table]):
            items, odd = metadata.understood(answer, _MEANING[table], what, self._web.base)
            skipped += odd
            for (ccd, qid), row in items:
                if ccd.exposure.night in period:
                    text = metadata.version(row, table)
                    versions[ccd, qid] = min(versions.get((ccd, qid), text), text)
                elif period.distance(ccd.exposure.night) > 1:  # the next night is within the query's margin
                    reason = "its name is of another night than its date: one of them is wrong"
                    skipped.append(Skipped(what, reason, 1, (str(ccd),)))
        entries, contradicted = without_contradictions(versions, what)
        return entries, skipped + contradicted, {entry: versions[entry] for entry in entries}

    def _search(
        self, table: str, period: Period, where: Sequence[str], more: tuple[str, ...] = (), *, quiet: bool = False
    ) -> Iterator[metadata.Table]:
        required = metadata.COLUMNS[table]
        n_row = 0
        for within in metadata.spans(period):
            params = {"WHERE": " AND ".join([*within, *where]), "COLUMNS": ",".join((*required, *more)), "ct": "csv"}
            answer = self._query(table, params, required, more)
            n_row += len(answer.rows)
            yield answer
        if not n_row and self._user and not quiet:
            logger.warning(
                "%s: no %s rows in %s for user %s; a wrong password looks the same: should there be some, check it",
                self._web.base,
                table,
                period,
                self._user,
            )

    def _query(
        self, table: str, params: Mapping[str, str], required: Sequence[str], optional: Sequence[str]
    ) -> metadata.Table:
        path = f"{SEARCH_PATH}/{table}"
        bodies: set[bytes] = set()

        def attempt() -> metadata.Table:
            with self._web.get(path, params) as answer:
                body = b"".join(answer.chunks)
            what = f"rows of the archive's {table} table"
            rows = metadata.read_table(body, required, optional, what, f"{self._web.base}{path}")
            if rows.cut_off and body not in bodies:  # the same table twice is the archive's own
                bodies.add(body)
                raise TransientError(rows.cut_off)
            return rows

        return self._patiently(attempt)

    def why_absent(self, file: ArchiveFile, error: NotInArchive) -> tuple[PipelineError, bool]:
        """Why a file is not delivered, as far as the tables know, and whether they explain it.

        They do if they do not list it, or say that it is not public yet.
        """
        e = file.ccd.exposure
        where = [f"ccdid={file.ccd.ccdid}"] + ([] if file.qid is None else [f"qid={file.qid}"])
        table = "raw" if file.kind is Kind.RAW else "sci"
        try:
            rows = [
                row
                for answer in self._search(table, Period.of(e.night), where, ("ipac_pub_date",), quiet=True)
                for row in answer.rows
                if metadata.is_of(row, e.filefracday)
            ]
        except PipelineError:
            return NotInArchive(f"{error}, and why could not be found out; try again another day"), False
        if not rows:
            hint = "nor do its tables list it; check the name, or give credentials to see more"
            return NotInArchive(f"{error}, {hint}"), True
        dates = (row.get("ipac_pub_date", "") for row in rows)
        when = next((text for text in dates if not is_empty(text)), "")
        publication = f"it is to be public from {when}" if when else "its tables do not say when it will be public"
        remedy = "wait until then, or give credentials that may see it"
        reason = NotYetPublic(f"{error}, though its tables list it: {publication}; {remedy}")
        return reason, bool(self._web.now) and when[:10] > f"{self._web.now:%Y-%m-%d}"


def _raw_entry(row: metadata.Row) -> Listed:
    return metadata.ccd_exposure(row), None


_MEANING: dict[str, Callable[[metadata.Row], Listed]] = {"raw": _raw_entry, "sci": metadata.quadrant_exposure}
