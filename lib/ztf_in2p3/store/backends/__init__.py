"""Places for files: the few things a store asks of one, whatever it is.

Paths are relative to the root of the store, with slashes.  Each file appears whole or not at
all.  What another try can cure is raised as `TransientError`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Stat:
    """What a place says of a file without reading it."""

    size: int
    """Bytes."""
    stamp: str
    """Changes whenever the file is written; says nothing of what is in it.  Empty if unknown."""


class Files(Protocol):
    """A place for files."""

    def uri(self, path: str) -> str:
        """Name of a file for a person or another program."""

    def absence(self) -> str:
        """What is lacking of the place itself (``there is no folder /data/ztf``); empty if it is there."""

    def obstacle(self) -> str:
        """Why the place cannot be created by writing to it; empty if it is there, or can be."""

    def stat(self, path: str) -> Stat | None:
        """Size and stamp of a file; None if there is no such file."""

    def read(self, path: str) -> bytes | None:
        """Content of a small file; None if there is none."""

    def write(self, path: str, content: bytes) -> None:
        """Replace a small file."""

    def create(self, path: str, content: bytes) -> bool:
        """Write a small file unless it exists, decided by the place itself; False if it does."""

    def staging(self) -> AbstractContextManager[Path]:
        """A fresh local directory, from which publishing is cheap; removed at the end."""

    def publish(self, file: Path, path: str, sha256: str) -> Stat:
        """Move a finished file of a `staging` folder to its place, whole.

        The stamp returned is that of this very file, even if another writer was faster to
        replace it (then it may be empty).
        """

    def local(self, path: str) -> AbstractContextManager[Path]:
        """A local file with the content at this moment, safe from later writers.

        Raises
        ------
        FileNotFoundError
        """

    def list(self, folder: str, prefix: str = "") -> Mapping[str, Stat]:
        """All files below a folder, at any depth, whose path in it starts with the prefix."""

    def folders(self, folder: str) -> Sequence[str]:
        """Names of the folders in a folder."""

    def remove(self, path: str) -> None:
        """Remove a file; that it is not there is no error."""
