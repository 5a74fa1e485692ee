"""Looking through a directory tree in the archive's layout, without overlooking what may not be read.

`pathlib`'s patterns say "nothing there" of a folder that may not be read; here it is named.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import islice
from pathlib import Path

from ztf_in2p3.archive.errors import NotInArchive
from ztf_in2p3.archive.layout import ArchiveFile, night_folder
from ztf_in2p3.archive.listing import Skipped
from ztf_in2p3.errors import BadData, TransientError
from ztf_in2p3.periods import Period

TEMPORARY = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EBUSY, errno.ECONNRESET, errno.EHOSTDOWN}
"""Moods of a network file system."""

BRANCHES = ("raw", "sci")
EXPECTED = "raw/YYYY/MMDD/FFFFFF/ and sci/YYYY/MMDD/FFFFFF/"
_OURS = ("sciimg.fits", "mskimg.fits", "scihdr.fits")
"""How names of science products that the reduction reads go on after the quadrant."""
_N_NAME = 8
"""Names of a folder that a message quotes."""
_N_LOOKED_AT = 500
"""Folders that are looked at for the right level."""
_LEVELS_UP = 4
"""Folders from an exposure's up to the root of the tree."""


def require_root(root: Path) -> None:
    """Refuse a folder that is not the root of a tree, saying what was looked for, what is there, and where to look.

    Raises
    ------
    NotInArchive
        No folder, or one that holds neither ``raw`` nor ``sci``.
    BadData
        A folder that may not be read.
    TransientError
        The file system did not answer.
    """
    try:
        names = sorted(entry.name for entry in os.scandir(root))
    except (FileNotFoundError, NotADirectoryError):
        raise NotInArchive(f"{root} is no directory; expected one that holds {EXPECTED}") from None
    except OSError as error:
        raise unreadable(root, error) from error
    if set(BRANCHES) & set(names):
        return
    content = f"only {', '.join(names[:_N_NAME])}{', ...' if len(names) > _N_NAME else ''}" if names else "nothing"
    near = _right_level(root)
    advice = f"did you mean {near}?" if near else "give the folder that holds them"
    raise NotInArchive(f"{root}: looked for {EXPECTED} in it, found {content}; {advice}")


def _right_level(root: Path) -> Path | None:
    """The nearest folder above or below that holds a tree."""
    for above in islice(root.absolute().parents, _LEVELS_UP):
        if _is_root(above) and root.absolute().relative_to(above).parts[0] in BRANCHES:
            return above
    below = islice((folder for level in ("*", "*/*") for folder in root.glob(level)), _N_LOOKED_AT)
    return next((folder for folder in below if _is_root(folder)), None)


def _is_root(folder: Path) -> bool:
    try:
        return any((folder / branch).is_dir() for branch in BRANCHES)
    except OSError:  # not allowed to look: not to be suggested
        return False


def unreadable(path: Path, error: OSError) -> BadData | TransientError:
    """The error of our own that an error of the file system stands for."""
    if error.errno in TEMPORARY:
        return TransientError(f"{path}: {error.strerror}; the file system may recover, try again")
    return BadData(f"{path} cannot be read ({error.strerror}); ask its owner to let you read it")


def files_of(root: Path, branch: str, period: Period) -> tuple[dict[ArchiveFile, os.DirEntry[str]], list[Skipped]]:
    """Files of a branch of the tree, of the nights of a period, and what could not be looked at.

    Raises
    ------
    TransientError
        The file system did not answer.
    """
    skipped: list[Skipped] = []
    try:
        if not (root / branch).is_dir():
            return {}, [Skipped(f"folder {root / branch}", f"not there; expected {branch}/YYYY/MMDD/FFFFFF/")]
    except OSError as error:
        _set_aside(root / branch, error, skipped)
        return {}, skipped
    files: dict[ArchiveFile, os.DirEntry[str]] = {}
    for night in _nights(period):
        for folder in _entries(root / branch / night_folder(night), skipped):
            if not _is_folder(folder, skipped):
                continue
            for entry in _entries(Path(folder.path), skipped):
                try:
                    files.setdefault(ArchiveFile.parse(_bare(Path(entry.path).relative_to(root).as_posix())), entry)
                except ValueError as error:
                    if _looks_like_ours(entry.name, branch):
                        reason = "their names or places are not those of the archive's files"
                        skipped.append(Skipped(f"files below {root / branch}", reason, 1, (_printable(str(error)),)))
    return files, skipped


def _nights(period: Period) -> Iterator[date]:
    for day in range((period.last - period.first).days + 1):
        yield period.first + timedelta(days=day)


def _entries(folder: Path, skipped: list[Skipped]) -> list[os.DirEntry[str]]:
    """What a folder holds; nothing if there is no such folder, and a word if it may not be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        _set_aside(folder, error, skipped)
        return []


def _is_folder(entry: os.DirEntry[str], skipped: list[Skipped]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        _set_aside(Path(entry.path), error, skipped)
        return False


def _set_aside(path: Path, error: OSError, skipped: list[Skipped]) -> None:
    if error.errno in TEMPORARY:
        raise unreadable(path, error) from error
    skipped.append(Skipped(f"folder {path}", f"it cannot be read ({error.strerror}); ask its owner to let you read it"))


def _printable(text: str) -> str:
    """Text that can be written anywhere: bytes of names that are no UTF-8 stand there as numbers."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _bare(path: str) -> str:
    """The path of a file under the name that `ArchiveFile.parse` knows, compressed or not."""
    plain = path.removesuffix(".fz")
    return f"{plain}.fz" if path.startswith("raw/") else plain


def _looks_like_ours(name: str, branch: str) -> bool:
    """Whether a file that cannot be placed was probably meant for us; other products of the archive are not."""
    return name.startswith("ztf_") and (branch == "raw" or any(ending in name for ending in _OURS))
