"""Products in a place: exists, read, write (whole or absent), list, remove, verify."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from ztf_in2p3.store.backends.local import LocalFiles
from ztf_in2p3.store.manifest import Manifest, Provenance
from ztf_in2p3.store.store import Store

__all__ = ["Manifest", "Provenance", "Store", "open_store"]


def open_store(url: str, provenance: Provenance) -> Store:
    """The store at a path, at ``file:///path`` or at ``s3://bucket/prefix``; nothing is touched before its first use.

    Raises
    ------
    ValueError
        The URL is none of these.
    """
    parts = urlsplit(url)
    if "://" not in url and url.strip():
        return Store(LocalFiles(Path(url).absolute(), provenance.host), provenance)
    if parts.scheme == "file" and not parts.netloc and parts.path:
        return Store(LocalFiles(Path(unquote(parts.path)), provenance.host), provenance)
    if parts.scheme == "s3" and parts.netloc and not parts.query and not parts.username:
        from ztf_in2p3.store.backends.s3 import S3Files  # slow to import, and seldom wanted

        return Store(S3Files(parts.netloc, parts.path.strip("/")), provenance)
    shown = url.replace(parts.netloc, parts.netloc.rpartition("@")[2])  # never a password
    raise ValueError(f"{shown!r} is no place for a store; expected a path, file:///path or s3://bucket/prefix")
