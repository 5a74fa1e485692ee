"""Files of a first night as they come: unchecked, so that a strange one can be looked at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from astropy.io import fits

from ztf_in2p3.archive import Irsa, LocalTree
from ztf_in2p3.archive.atomic_write import whole_or_absent
from ztf_in2p3.archive.check import first_image
from ztf_in2p3.archive.header import BLOCK, read_until_end
from ztf_in2p3.archive.irsa_tables import SEARCH_PATH
from ztf_in2p3.archive.layout import ArchiveFile
from ztf_in2p3.archive.listing import Listing
from ztf_in2p3.archive.metadata import spans
from ztf_in2p3.doctor.findings import Result, ok, skipped
from ztf_in2p3.doctor.table import Table
from ztf_in2p3.errors import PipelineError
from ztf_in2p3.identifiers import CcdExposure, ImageType
from ztf_in2p3.periods import Period


class Source(Protocol):
    """An archive, or a folder in its layout."""

    has_tables: bool

    def log_in(self) -> Result:
        """Log in, if an account is given."""

    def table(self, kind: str, night: Period, ccd: CcdExposure | None = None) -> Table:
        """Rows of a night in the archive's table of raw files or science images, with all columns."""

    def listed(self, night: Period) -> Listing[CcdExposure]:
        """CCD exposures of a night that are listed."""

    def fetch(self, file: ArchiveFile, folder: Path) -> Path:
        """Bring a file, unchecked; its path."""

    def header(self, file: ArchiveFile) -> fits.Header:
        """Header of a science image."""


class WebSource:
    """The archive behind a web address.

    Parameters
    ----------
    irsa
        With credentials, if there are any.
    anonymous
        The same without, for when the login fails.
    """

    has_tables = True

    def __init__(self, irsa: Irsa, anonymous: Irsa | None = None) -> None:
        self._irsa = irsa
        self._anonymous = anonymous

    def log_in(self) -> Result:
        """Log in, if an account is given."""
        if self._anonymous is None:
            return skipped("no account given: only what is public is seen")
        try:
            self._irsa.log_in()
        except PipelineError:
            self._irsa = self._anonymous
            raise
        return ok("a session was opened; a wrong password shows only where private files are missing")

    def table(self, kind: str, night: Period, ccd: CcdExposure | None = None) -> Table:
        """All columns of the rows of a night, or of one CCD exposure."""
        (where,) = spans(night)
        if ccd is not None:
            where = [*where, f"ccdid={ccd.ccdid}", f"filefracday={ccd.exposure.filefracday}"]
        text = self._irsa.read(f"{SEARCH_PATH}/{kind}", b"".join, {"WHERE": " AND ".join(where), "ct": "csv"})
        return Table.parse(kind, text.decode("utf-8", "replace"))

    def listed(self, night: Period) -> Listing[CcdExposure]:
        """CCD exposures of a night, as the reduction itself reads the table."""
        return _all_kinds(self._irsa, night)

    def fetch(self, file: ArchiveFile, folder: Path) -> Path:
        """Download a file, unchecked; its path."""
        path = folder / Path(file.path).name

        def save(chunks: Iterator[bytes]) -> None:
            with whole_or_absent(path) as part, part.open("wb") as out:
                out.writelines(chunks)

        self._irsa.read_file(file, save)
        return path

    def header(self, file: ArchiveFile) -> fits.Header:
        """Header of a science image; its pixels are not transferred."""
        return self._irsa.read_file(file, lambda chunks: read_until_end(_blocks(chunks), str(file)))


class TreeSource:
    """A folder in the archive's layout; its files are looked at where they are."""

    has_tables = False

    def __init__(self, tree: LocalTree) -> None:
        self._tree = tree

    def log_in(self) -> Result:
        """Nothing to do: a folder wants no login."""
        return skipped("a folder wants no login")

    def table(self, kind: str, night: Period, ccd: CcdExposure | None = None) -> Table:
        """Never called: a folder has no tables."""
        raise ValueError("a folder has no tables")

    def listed(self, night: Period) -> Listing[CcdExposure]:
        """CCD exposures of a night whose files are in the tree."""
        return _all_kinds(self._tree, night)

    def fetch(self, file: ArchiveFile, folder: Path) -> Path:
        """Path of a file in the tree."""
        return self._tree.path_of(file)

    def header(self, file: ArchiveFile) -> fits.Header:
        """Header of a science image."""
        with fits.open(self._tree.path_of(file), memmap=False) as hdus:
            return hdus[first_image(hdus) or 0].header.copy()


def _all_kinds(archive: Irsa | LocalTree, night: Period) -> Listing[CcdExposure]:
    kinds = (ImageType.BIAS, ImageType.FLAT, ImageType.OBJECT)
    listings = [archive.raws(night, kind) for kind in kinds]
    skipped = [group for listing in listings for group in listing.skipped]
    return Listing.of(sorted(ccd for listing in listings for ccd in listing), skipped)


def _blocks(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Bytes of a stream, a FITS block at a time."""
    for chunk in chunks:
        for start in range(0, len(chunk), BLOCK):
            yield chunk[start : start + BLOCK]
