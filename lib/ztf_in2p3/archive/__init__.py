"""Sources of frames: the public archive over HTTP, or a directory in its layout."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from ztf_in2p3.addresses import IRSA_ADDRESS
from ztf_in2p3.archive.credentials import Credentials
from ztf_in2p3.archive.errors import AccessDenied, Damaged, NotInArchive, NotYetPublic
from ztf_in2p3.archive.irsa import Irsa
from ztf_in2p3.archive.layout import ArchiveFile
from ztf_in2p3.archive.listing import FileState, Listing, Skipped
from ztf_in2p3.archive.local import LocalTree
from ztf_in2p3.archive.patience import Patience
from ztf_in2p3.archive.web import Timeouts
from ztf_in2p3.identifiers import CcdExposure, Filter, ImageType
from ztf_in2p3.periods import Period
from ztf_in2p3.products import Value

__all__ = [
    "IRSA_ADDRESS",
    "AccessDenied",
    "Archive",
    "ArchiveFile",
    "Credentials",
    "Damaged",
    "FileState",
    "Irsa",
    "Listing",
    "LocalTree",
    "NotInArchive",
    "NotYetPublic",
    "Patience",
    "Skipped",
    "Timeouts",
    "open_archive",
]


class Archive(Protocol):
    """What `Irsa` and `LocalTree` both do; their docstrings say how and what they raise."""

    def raws(
        self,
        period: Period,
        image_type: ImageType,
        *,
        filters: Iterable[Filter] | None = None,
        ccdids: Iterable[int] | None = None,
    ) -> Listing[CcdExposure]:
        """Raw files of some nights, of one image type, that the archive has."""

    def sciences(
        self, period: Period, *, filters: Iterable[Filter] | None = None, ccdids: Iterable[int] | None = None
    ) -> Listing[tuple[CcdExposure, int]]:
        """Science quadrants of some nights that the archive has."""

    def fetch(self, file: ArchiveFile, path: Path, progress: Callable[[int], None] | None = None) -> dict[str, Value]:
        """Write a file to a path, checked; returns facts about it for its manifest."""

    def state(self, file: ArchiveFile) -> FileState:
        """Size and date of a file as the archive has it now."""


def open_archive(location: str, credentials: Credentials | None = None, **options: Any) -> Irsa | LocalTree:
    """The archive at a web address or in a directory.

    Parameters
    ----------
    location
        ``https://host`` (IRSA's own is `IRSA_ADDRESS`), ``file:///path`` or a path.
    credentials, options
        Of `Irsa`: concurrency, timeouts, patience, proxies, ...; a directory needs none, and
        takes no notice of them, so that only the location tells the two apart.
    """
    parts = urlsplit(location)
    if parts.scheme in ("http", "https"):
        return Irsa(location, credentials, **options)
    if parts.scheme == "file":
        return LocalTree(Path(unquote(parts.path)))
    if "://" in location:
        raise ValueError(f"no archive at {location!r}: expected https://..., file:///... or a directory")
    return LocalTree(Path(location))
