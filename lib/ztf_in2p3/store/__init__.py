"""Products in a place: exists, read, write (whole or absent), list, remove, verify."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ztf_in2p3.store.backends.local import LocalFiles
from ztf_in2p3.store.joint import JointlyBuilt, JointProduct, Once
from ztf_in2p3.store.manifest import Manifest, Provenance
from ztf_in2p3.store.store import Store

__all__ = ["JointProduct", "JointlyBuilt", "Manifest", "Once", "Provenance", "Store", "open_store"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(?=/)|(?:s3|file|https?|ftp|gs):")
"""Beginning of an address that is meant as a URL; a drive letter or a colon inside a name is none."""


def open_store(url: str, provenance: Provenance) -> Store:
    """The store at a path, at ``file:///path`` or at ``s3://bucket/prefix``; nothing is touched before its first use.

    A leading ``~`` is the home folder, as in a shell.

    Raises
    ------
    ValueError
        The URL is none of these; what is wrong with it is in the message.
    """
    parts = urlsplit(url)
    public_url = url.replace(parts.netloc, parts.netloc.rpartition("@")[2]) if parts.netloc else url  # never a password
    wrong = _what_is_wrong(url)
    if wrong:
        raise ValueError(
            f"{public_url!r} is no place for a store: {wrong}; expected a path, file:///path or s3://bucket/prefix"
        )
    if "://" not in url:
        return Store(LocalFiles(_expanded(url).absolute(), provenance.host), provenance)
    if parts.scheme == "file":
        return Store(LocalFiles(Path(unquote(parts.path)), provenance.host), provenance)
    from ztf_in2p3.store.backends.s3 import S3Files  # slow to import, and seldom wanted

    return Store(S3Files(parts.netloc, parts.path.strip("/")), provenance)


def _what_is_wrong(url: str) -> str:
    """Why an address names no place; empty if it names one."""
    parts = urlsplit(url)
    if not url.strip():
        return "it is empty"
    if "#" in url:
        return "what follows '#' is not part of an address; take a name without it"
    if "://" not in url:
        return "a URL has two slashes after its colon" if _SCHEME.match(url) else ""
    if parts.scheme == "file":
        if parts.netloc or not parts.path:
            return f"file:// takes an absolute path, with three slashes, and no host ({parts.netloc!r})"
        return "a file has no query, '?'; write it as %3F" if parts.query else ""
    if parts.scheme == "s3":
        if not parts.netloc:
            return "it names no bucket"
        if parts.username:
            return "credentials do not belong in an address; put them in ~/.aws or in AWS_ACCESS_KEY_ID"
        return "an object has no query, '?'" if parts.query else ""
    return f"{parts.scheme}: is nothing that products can be kept in"


def _expanded(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError as error:  # no such user
        raise ValueError(f"{path!r} is no place for a store: {error}; write the whole path") from None
