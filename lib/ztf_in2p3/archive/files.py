"""Files that an archive has of some nights, with what it says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Self

from ztf_in2p3.archive.layout import ArchiveFile
from ztf_in2p3.archive.listing import Listing, Skipped, grouped
from ztf_in2p3.identifiers import CcdExposure, Exposure
from ztf_in2p3.products import Kind


class ArchiveFiles(dict[Exposure, list[ArchiveFile]]):
    """Files by exposure.

    `versions` says of a file which edition the archive has now, where it says so, and `skipped` which entries of its
    lists could not be used.
    """

    versions: Mapping[ArchiveFile, str]
    skipped: tuple[Skipped, ...]

    @classmethod
    def of(cls, versions: Mapping[ArchiveFile, str], skipped: Iterable[Skipped] = ()) -> Self:
        """Files given with their editions, empty where the archive does not say."""
        files = cls()
        files.versions = {file: version for file, version in versions.items() if version}
        files.skipped = grouped(skipped)
        for file in versions:
            files.setdefault(file.ccd.exposure, []).append(file)
        return files

    @classmethod
    def of_raws(cls, raws: Listing[CcdExposure]) -> Self:
        """Files of the raw frames of a list."""
        return cls.of({ArchiveFile(Kind.RAW, ccd): raws.versions.get(ccd, "") for ccd in raws}, raws.skipped)

    @classmethod
    def of_quadrants(cls, quadrants: Listing[tuple[CcdExposure, int]], *kinds: Kind) -> Self:
        """Files of some kinds of each science quadrant."""
        versions = {
            ArchiveFile(kind, ccd, qid): quadrants.versions.get((ccd, qid), "")
            for ccd, qid in quadrants
            for kind in kinds
        }
        return cls.of(versions, quadrants.skipped)

    def with_those_of(self, files: Self) -> Self:
        """The files of both."""
        return type(self).of(self._editions() | files._editions(), (*self.skipped, *files.skipped))

    def chosen(self, wanted: Callable[[CcdExposure], bool]) -> Self:
        """Files of those CCD exposures that are wanted."""
        return type(self).of({file: text for file, text in self._editions().items() if wanted(file.ccd)}, self.skipped)

    def _editions(self) -> dict[ArchiveFile, str]:
        return {file: self.versions.get(file, "") for files in self.values() for file in files}
