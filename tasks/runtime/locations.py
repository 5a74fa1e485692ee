"""Folders and addresses as a person types them."""

from __future__ import annotations

import re
from pathlib import Path

_HALF_AN_ADDRESS = re.compile(r"(s3|file|https?|ftp|gs):(?!//)", re.IGNORECASE)

IN_STORE = re.compile(r"(?:(?:starindex|startable)/)?([0-9a-f]{10})(?:/.*)?")
"""Address of a star table, or of its index, or only the digest of its recipe."""


def place(text: str) -> str:
    """A folder with ``~`` expanded, or an address as it is.

    Raises
    ------
    ValueError
        It is empty, half an address (``s3:/b``), or has what an address would silently lose (``#``, ``?``).
    """
    if not text.strip():
        raise ValueError("nothing given; expected a folder, or s3://bucket/prefix")
    if _HALF_AN_ADDRESS.match(text):
        raise ValueError(f"{text!r} is neither a folder nor an address; expected {text.partition(':')[0]}://...")
    if text.startswith("#") or ("://" in text and re.search(r"[#?]", text)):
        raise ValueError(f"{text!r} has a '#' or '?' where none can be; expected a folder, or s3://bucket/prefix")
    if "://" in text:
        return text
    try:
        return str(Path(text).expanduser())
    except RuntimeError as error:
        raise ValueError(f"{text}: {error}") from None
