"""What is computed from products again and again, kept on the disk of a machine for all its processes.

An entry is a folder named by the digest of the content that it was computed from, so it can never be out of date.
Another process sees it whole or not at all.  The operating system keeps in memory what is read often, once for all
processes that map it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

DAY = 86400.0
_MARK = "complete"
"""File that is written last; its time tells when the entry was last used."""
_LEAST_FREE = 0.05
"""Share of the disk that the cache leaves free."""
_ABANDONED_S = 3600.0
"""Age of an incomplete entry whose writer must be dead."""


@dataclass(frozen=True, slots=True)
class NodeCache:
    """Folders of files by digest, of a bounded size; those that were used longest ago go first."""

    folder: Path
    most_bytes: float = 40e9
    most_days: float = 14.0
    """Time without use after which an entry goes."""

    @contextmanager
    def entry(self, name: str, fill: Callable[[Path], None]) -> Iterator[Path]:
        """Folder of an entry, which `fill` writes files into if there is none yet.

        Nobody removes it while it is in use.  Where there is no room for it, it is filled all the same, and removed
        afterwards.
        """
        place = self.folder / name
        with _in_use(place) as found:
            if found:
                yield place
                return
        part = self.folder / f"{name}.{uuid.uuid4().hex}.part"
        try:
            part.mkdir(parents=True)
            fill(part)
            (part / _MARK).touch()
            with _in_use(part):
                yield place if self._keep(part, place) else part
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def discard(self, name: str) -> None:
        """Remove an entry, for whoever finds that it is not what was written."""
        self._remove(self.folder / name)

    def _keep(self, part: Path, place: Path) -> bool:
        if not self._has_room(_size(part)):
            return False
        with contextlib.suppress(OSError):  # another process was faster; its entry is not locked by this one
            part.rename(place)
            return True
        return False

    def _has_room(self, needed: int) -> bool:
        """Whether there is room for so many bytes (which lie on the disk already), once the oldest have gone."""
        now, entries = time.time(), []
        for path in self.folder.iterdir():
            with contextlib.suppress(OSError):
                used = (path / _MARK if not path.name.endswith(".part") else path).stat().st_mtime
                if now - used > (_ABANDONED_S if path.name.endswith(".part") else self.most_days * DAY):
                    self._remove_unused(path)
                elif not path.name.endswith(".part"):
                    entries.append((used, _size(path), path))
        total = needed + sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= self.most_bytes and not self._is_full():
                break
            if self._remove_unused(path):
                total -= size
        return total <= self.most_bytes and not self._is_full()

    def _is_full(self) -> bool:
        disk = shutil.disk_usage(self.folder)
        return disk.free < _LEAST_FREE * disk.total

    def _remove_unused(self, place: Path) -> bool:
        """Whether an entry, or what a dead writer left of one, was removed; not if a process uses it."""
        if place.suffix == ".part":
            self._remove(place)
            return True
        with contextlib.suppress(OSError), (place / _MARK).open("rb") as mark:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._remove(place)
            return True
        return False

    def _remove(self, place: Path) -> None:
        """Whole at once for others: first under another name."""
        gone = self.folder / f"{place.name}.{uuid.uuid4().hex}.part"
        with contextlib.suppress(OSError):
            place.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)


@contextmanager
def _in_use(place: Path) -> Iterator[bool]:
    """Whether an entry is there, which then stays as long as the context lasts; that it is used is noted."""
    with contextlib.ExitStack() as stack:
        found = False
        with contextlib.suppress(OSError):
            mark = stack.enter_context((place / _MARK).open("rb"))
            fcntl.flock(mark, fcntl.LOCK_SH)
            os.utime(place / _MARK)
            found = os.path.samestat(os.fstat(mark.fileno()), (place / _MARK).stat())  # not removed before the lock
        yield found


def _size(folder: Path) -> int:
    """Bytes of the files of an entry."""
    return sum(path.stat().st_size for path in folder.iterdir())
