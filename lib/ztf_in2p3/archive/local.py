"""A directory tree in the archive's layout, as a computing centre keeps it.

Names alone say what there is: no file is opened to list a night.  Other files in the tree do
not matter.  Science headers may be there with their images, compressed or not, or alone
(``scihdr.fits``).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from astropy.io import fits

from ztf_in2p3.archive.atomic_write import whole_or_absent
from ztf_in2p3.archive.check import check, check_header
from ztf_in2p3.archive.errors import Damaged, NotInArchive
from ztf_in2p3.archive.header import write_header
from ztf_in2p3.archive.layout import ArchiveFile
from ztf_in2p3.archive.listing import FileState, Listing
from ztf_in2p3.archive.scan import files_of, require_root, unreadable
from ztf_in2p3.errors import BadData, TransientError
from ztf_in2p3.hdus import read_header
from ztf_in2p3.identifiers import CcdExposure, Filter, ImageType
from ztf_in2p3.periods import Period
from ztf_in2p3.products import Kind, Value

Item = TypeVar("Item")


class LocalTree:
    """The archive interface on a directory.  Nothing in it is ever written."""

    def __init__(self, root: Path) -> None:
        self.root = root
        require_root(root)

    def __repr__(self) -> str:
        return f"LocalTree({str(self.root)!r})"

    def raws(
        self,
        period: Period,
        image_type: ImageType,
        *,
        filters: Iterable[Filter] | None = None,
        ccdids: Iterable[int] | None = None,
    ) -> Listing[CcdExposure]:
        """Raw files of one type whose night is in the period, sorted, and folders that could not be looked at.

        Raises
        ------
        TransientError
            The file system did not answer.
        """
        wanted = _wanted(filters, ccdids)
        files, skipped = files_of(self.root, "raw", period)
        entries = {
            file.ccd: entry
            for file, entry in files.items()
            if file.ccd.exposure.image_type is image_type and wanted(file.ccd)
        }
        return Listing.of(sorted(entries), skipped, _versions(entries))

    def sciences(
        self, period: Period, *, filters: Iterable[Filter] | None = None, ccdids: Iterable[int] | None = None
    ) -> Listing[tuple[CcdExposure, int]]:
        """CCD exposures and quadrants that have a science image or at least its header, sorted.  As `raws`."""
        wanted = _wanted(filters, ccdids)
        files, skipped = files_of(self.root, "sci", period)
        entries = {
            (file.ccd, file.qid): entry
            for file, entry in files.items()
            if file.kind in (Kind.SCIENCE, Kind.HEADER) and file.qid is not None and wanted(file.ccd)
        }
        return Listing.of(sorted(entries), skipped, _versions(entries))

    def fetch(self, file: ArchiveFile, path: Path, progress: Callable[[int], None] | None = None) -> dict[str, Value]:
        """Link a file to `path` once it is checked (or copy it, across file systems).

        A tile-compressed science image or mask stays compressed, whatever the path is called:
        its image is then in HDU 1 (`ztf_in2p3.archive.check.first_image`).

        Parameters
        ----------
        progress
            Told the bytes that are in place.

        Returns
        -------
        What is worth knowing of it: `ztf_in2p3.archive.check.check`, and its state in the tree: `FileState.about`.

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
            state = FileState.of(source.stat())
            if file.kind is Kind.HEADER:
                with whole_or_absent(path) as part:
                    header = _header(source)
                    about = check_header(header, file, str(source))
                    write_header(part, header)
            else:
                about = check(source, file)
                with whole_or_absent(path) as part:
                    _place(source, part)
            if progress:
                progress(path.stat().st_size)
        return about | state.about

    def state(self, file: ArchiveFile) -> FileState:
        """Size and date of a file as it is now.  Errors as `fetch`."""
        with _typed(self.root, file):
            return FileState.of(self._source(file).stat())

    def path_of(self, file: ArchiveFile) -> Path:
        """Path of a file, under whichever of its names.  NotInArchive if it is not there."""
        return self._source(file)

    def _source(self, file: ArchiveFile) -> Path:
        names = [str(file), file.path]
        names += [name.removesuffix(".fz") if name.endswith(".fz") else f"{name}.fz" for name in names]
        names = list(dict.fromkeys(names))
        for name in names:
            path = self.root / name
            if path.is_file():
                return path.resolve()
        raise NotInArchive(f"{self.root / names[0]} is not there ({_or_else(names[1:])}); fetch it, or set it aside")


def _or_else(names: list[str]) -> str:
    spellings = sorted({Path(name).name for name in names})
    return f"nor {', nor '.join(spellings)}"


def _versions(entries: Mapping[Item, os.DirEntry[str]]) -> dict[Item, str]:
    """Size and date of the files, which change when they are made again; a file that does not tell has none."""
    versions: dict[Item, str] = {}
    for item, entry in entries.items():
        with suppress(OSError):  # asked for itself, it will say what is wrong
            versions[item] = f"file {FileState.of(entry.stat())}"
    return versions


def _wanted(filters: Iterable[Filter] | None, ccdids: Iterable[int] | None) -> Callable[[CcdExposure], bool]:
    some_filters = None if filters is None else set(filters)
    some_ccds = None if ccdids is None else set(ccdids)
    return lambda ccd: (
        (some_filters is None or ccd.exposure.filter in some_filters) and (some_ccds is None or ccd.ccdid in some_ccds)
    )


def _header(source: Path) -> fits.Header:
    """Header of the first image, or of the first HDU where a file holds a header only."""
    try:
        return read_header(source)
    except BadData as error:
        raise Damaged(str(error)) from error


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
    except OSError as error:
        if error.errno is None:  # astropy's, about the content
            raise Damaged(f"{root / str(file)}: cannot be read ({error}); fetch it again") from error
        raise unreadable(Path(error.filename or root / str(file)), error) from error
