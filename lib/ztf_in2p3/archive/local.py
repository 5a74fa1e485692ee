"""A directory tree in the archive's layout, as a computing centre keeps it.

Names alone say what there is: no file is opened to list a night.  Other files in the tree do
not matter.  Science headers may be there with their images, compressed or not, or alone
(``scihdr.fits``).
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

from astropy.io import fits

from ztf_in2p3.archive.check import check, check_header, first_image
from ztf_in2p3.archive.errors import Damaged, NotInArchive
from ztf_in2p3.archive.header import write_header
from ztf_in2p3.archive.layout import ArchiveFile, night_folder
from ztf_in2p3.archive.spool import whole_or_absent
from ztf_in2p3.errors import BadData, TransientError
from ztf_in2p3.identifiers import CcdExposure, Filter, ImageType
from ztf_in2p3.periods import Period
from ztf_in2p3.products import Kind, Value

_PASSING = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EBUSY, errno.ECONNRESET, errno.EHOSTDOWN}
"""Moods of a network file system."""


class LocalTree:
    """The archive interface on a directory.  Nothing in it is ever written."""

    def __init__(self, root: Path) -> None:
        self.root = root
        if not root.is_dir():
            raise NotInArchive(f"{root} is no directory; expected one that holds raw/YYYY/MMDD/ and sci/YYYY/MMDD/")

    def __repr__(self) -> str:
        return f"LocalTree({str(self.root)!r})"

    def raws(
        self,
        period: Period,
        image_type: ImageType,
        *,
        filters: Iterable[Filter] | None = None,
        ccdids: Iterable[int] | None = None,
    ) -> list[CcdExposure]:
        """Raw files of one type whose night is in the period, sorted."""
        wanted = _wanted(filters, ccdids)
        found = {file.ccd for file in self._files("raw", period) if file.kind is Kind.RAW}
        return sorted(ccd for ccd in found if ccd.exposure.image_type is image_type and wanted(ccd))

    def sciences(
        self, period: Period, *, filters: Iterable[Filter] | None = None, ccdids: Iterable[int] | None = None
    ) -> list[tuple[CcdExposure, int]]:
        """CCD exposures and quadrants that have a science image or at least its header, sorted."""
        wanted = _wanted(filters, ccdids)
        found = {
            (file.ccd, file.qid)
            for file in self._files("sci", period)
            if file.kind in (Kind.SCIENCE, Kind.HEADER) and file.qid is not None and wanted(file.ccd)
        }
        return sorted(found)

    def fetch(self, file: ArchiveFile, spool: Path, progress: Callable[[int], None] | None = None) -> dict[str, Value]:
        """Link a file to `spool` once it is checked (or copy it, across file systems).

        A tile-compressed science image or mask stays compressed, whatever the spool is called:
        its image is then in HDU 1 (`ztf_in2p3.archive.check.first_image`).

        Parameters
        ----------
        progress
            Told the bytes that are in place.

        Returns
        -------
        What is worth knowing of it: `ztf_in2p3.archive.check.check`.

        Raises
        ------
        NotInArchive
            No such file in the tree.
        BadData
            Damaged, unreadable, or not what its name says.
        TransientError
            The file system did not answer.
        """
        with _typed(self.root, file):
            source = self._source(file)
            if file.kind is Kind.HEADER:
                with whole_or_absent(spool) as part:
                    header = _header(source)
                    about = check_header(header, file, str(source))
                    write_header(part, header)
            else:
                about = check(source, file)
                with whole_or_absent(spool) as part:
                    _place(source, part)
            if progress:
                progress(spool.stat().st_size)
        return about

    def path_of(self, file: ArchiveFile) -> Path:
        """Where a file lies, under whichever of its names.  NotInArchive if it is not there."""
        return self._source(file)

    def _files(self, kind: str, period: Period) -> Iterator[ArchiveFile]:
        for night in _nights(period):
            folder = self.root / kind / night_folder(night)
            for path in folder.glob("*/*.fits*"):
                try:
                    yield ArchiveFile.parse(_plain(path.relative_to(self.root).as_posix()))
                except ValueError:
                    continue  # a stranger

    def _source(self, file: ArchiveFile) -> Path:
        names = [str(file), file.path]
        names += [f"{name}.fz" for name in names if not name.endswith(".fz")]
        for name in names:
            path = self.root / name
            if path.is_file():
                return path.resolve()
        raise NotInArchive(f"{self.root / names[0]} is not there ({_or_else(names[1:])}); fetch it, or set it aside")


def _or_else(names: list[str]) -> str:
    others = sorted({Path(name).name for name in names})
    return f"nor {', nor '.join(others)}"


def _plain(path: str) -> str:
    """Name without the mark of tile compression, which raw files always bear."""
    return path if path.startswith("raw/") else path.removesuffix(".fz")


def _nights(period: Period) -> Iterator[date]:
    for day in range((period.last - period.first).days + 1):
        yield period.first + timedelta(days=day)


def _wanted(filters: Iterable[Filter] | None, ccdids: Iterable[int] | None) -> Callable[[CcdExposure], bool]:
    some_filters = None if filters is None else set(filters)
    some_ccds = None if ccdids is None else set(ccdids)
    return lambda ccd: (
        (some_filters is None or ccd.exposure.filter in some_filters) and (some_ccds is None or ccd.ccdid in some_ccds)
    )


def _header(source: Path) -> fits.Header:
    """Of the first image, or of the first HDU where a file holds a header only."""
    with fits.open(source, memmap=False) as hdus:
        index = first_image(hdus)
        return hdus[index or 0].header.copy()


def _place(source: Path, part: Path) -> None:
    part.unlink(missing_ok=True)
    try:
        os.link(source, part)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, part)
        copied, expected = part.stat().st_size, source.stat().st_size
        if copied != expected:
            raise TransientError(f"{source}: {copied} of {expected} bytes were copied; try again") from None


@contextmanager
def _typed(root: Path, file: ArchiveFile) -> Iterator[None]:
    """What a file system can answer, as errors that say what to do."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotInArchive(f"{error.filename} vanished while {file} was read") from error
    except PermissionError as error:
        raise BadData(
            f"{error.filename}: not allowed ({error.strerror}); ask the owner of {root} to let you read"
        ) from error
    except OSError as error:
        if error.errno is None:  # astropy's, about the content
            raise Damaged(f"{root / str(file)}: cannot be read ({error}); fetch it again") from error
        if error.errno in _PASSING:
            raise TransientError(
                f"{root / str(file)}: {error.strerror}; the file system may recover, try again"
            ) from error
        raise
