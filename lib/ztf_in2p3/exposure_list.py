"""Lists of exposures that somebody chose: a table, or a text file with one name a line."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from ztf_in2p3.errors import BadData
from ztf_in2p3.identifiers import N_CCD, CcdExposure
from ztf_in2p3.periods import Period
from ztf_in2p3.tables.files import TableFile, format_of

EXPOSURE_COLUMNS = ("filefracday", "exposure", "exposure_id", "filename", "file_name", "file", "path", "url", "name")
"""Columns, in this order of preference and in any case, that tell an exposure."""
CCD_COLUMNS = ("ccdid", "ccd", "ccd_id")
_FILE_NAME = re.compile(r"(?:^|[^0-9])(\d{14})_\d{6}_[a-z]{2}(?:_c(\d\d))?")
_FILEFRACDAY = re.compile(r"(\d{14})(?:\.0*)?")

Entry = tuple[str, int | None]
"""Filefracday of an exposure, and a CCD; None: all of them."""


class ExposureList(Collection[Entry]):
    """Chosen exposures; a `CcdExposure` is `in` it if its exposure is listed for all CCDs or for that one."""

    def __init__(self, entries: Collection[Entry]) -> None:
        self._entries = frozenset(entries)

    def __contains__(self, what: object) -> bool:
        if isinstance(what, CcdExposure):
            name = what.exposure.filefracday
            return (name, None) in self._entries or (name, what.ccdid) in self._entries
        return what in self._entries

    def __iter__(self) -> Iterator[Entry]:
        return iter(sorted(self._entries, key=lambda entry: (entry[0], entry[1] or 0)))

    def __len__(self) -> int:
        return len(self._entries)

    def names(self, period: Period | None = None) -> list[str]:
        """Filefracdays of the exposures listed (for a period, or all), each once, in order of time."""
        names = sorted({name for name, _ in self._entries})
        if period is None:
            return names
        first, last = f"{period.first:%Y%m%d}", f"{period.last:%Y%m%d}"
        return [name for name in names if first <= name[:8] <= last]

    @classmethod
    def read(cls, path: Path) -> ExposureList:
        """Read a table (CSV, Parquet, FITS, ECSV, VOTable) or a text file with one exposure a line.

        An exposure is told by its filefracday (YYYYMMDDFFFFFF) or by the name of one of its files, which also tells
        the CCD; a column for the CCD may stand beside it.

        Raises
        ------
        BadData
            The file is no list, or one of its rows tells no exposure: a choice that was not understood would
            silently be another one.
        """
        rows = _lines(path) if format_of(path) == "CSV" else []
        if rows and _entry(rows[0][0]) is not None:  # no header: an exposure from the first line on
            return cls._of([row[0] for row in rows], [row[1] if len(row) > 1 else None for row in rows], path)
        file = TableFile(path)
        known = {name.lower(): name for name in reversed(file.columns)}
        column = next((known[name] for name in EXPOSURE_COLUMNS if name in known), None)
        if column is None:
            hint = "; expid counts only in the archive's database" if "expid" in known else ""
            raise BadData(
                f"{path}: no column tells the exposures; it has {', '.join(file.columns)}, expected one of "
                f"{', '.join(EXPOSURE_COLUMNS)} with filefracday (YYYYMMDDFFFFFF) or file names{hint}"
            )
        ccd = next((known[name] for name in CCD_COLUMNS if name in known), None)
        table = file.read([column, *([ccd] if ccd else [])])
        ccds = table[ccd].to_pylist() if ccd else [None] * table.num_rows
        return cls._of(table[column].to_pylist(), ccds, path)

    @classmethod
    def _of(cls, names: list[object], ccds: list[object], path: Path) -> ExposureList:
        entries = [_entry(name, ccd) for name, ccd in zip(names, ccds, strict=True)]
        if wrong := [row for row, entry in enumerate(entries) if entry is None]:
            row = wrong[0]
            raise BadData(
                f"{path}: {len(wrong)} of {len(entries)} rows tell no exposure, the first is row {row + 1}: "
                f"{names[row]!r}{'' if ccds[row] is None else f', CCD {ccds[row]!r}'}; expected a filefracday "
                f"(YYYYMMDDFFFFFF) or the name of an archive file, and a CCD from 1 to {N_CCD}"
            )
        if not entries:
            raise BadData(f"{path} lists no exposures; expected at least one row")
        return cls({entry for entry in entries if entry is not None})


def _lines(path: Path) -> list[list[str]]:
    """Words of the lines of a text, without comments."""
    lines = (line.strip() for line in path.read_text(encoding="utf8", errors="replace").splitlines())
    return [re.split(r"[\s,;]+", line) for line in lines if line and not line.startswith("#")]


def _entry(name: object, ccd: object = None) -> Entry | None:
    """One row of a list; None if it tells no exposure."""
    text = f"{name:.0f}" if isinstance(name, float) else str(name).strip().strip("'\"")
    whole, in_file = _FILEFRACDAY.fullmatch(text), _FILE_NAME.search(text)
    if not (whole or in_file):
        return None
    exposure = whole[1] if whole else in_file[1] if in_file else ""
    number = in_file[2] if in_file and ccd is None else ccd
    if number is None or str(number).strip() == "":
        return exposure, None
    try:
        ccdid = int(float(str(number)))
    except (ValueError, OverflowError):  # of infinity
        return None
    return (exposure, ccdid) if 1 <= ccdid <= N_CCD else None
