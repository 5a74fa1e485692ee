"""A tree of files on a disk, or on a network file system that many machines share."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ztf_in2p3.errors import NotAllowed, TransientError
from ztf_in2p3.store.backends import Stat

STAGING = ".spool"
"""Folder of unfinished files: on the same file system, so that publishing is a rename."""

_PASSING = {errno.ESTALE, errno.ETIMEDOUT, errno.EBUSY, errno.EAGAIN}
"""What a network file system says when a file was replaced under its reader, or its server is busy."""

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


@dataclass(frozen=True)
class LocalFiles:
    """Files below a folder."""

    root: Path
    host: str = ""
    """Host of this process: left-overs of a killed one are cleared by its own host only, where locks can be trusted."""

    def uri(self, path: str) -> str:
        """Address of a file."""
        return (self.root / path).as_uri()

    def absence(self) -> str:
        """What is lacking of the folder itself; empty if it is there."""
        with _told():
            if self.root.is_dir():
                return ""
            return self.obstacle() or f"there is no folder {self.root}"

    def obstacle(self) -> str:
        """Why the folder cannot be created by writing to it; empty if it is there, or can be."""
        with _told():
            return f"{self.root} is a file, not a folder" if self.root.is_file() else ""

    def stat(self, path: str) -> Stat | None:
        """Size and stamp of a file; None if there is none."""
        with _told():
            try:
                return _stat((self.root / path).stat())
            except (FileNotFoundError, NotADirectoryError):
                return None

    def read(self, path: str) -> bytes | None:
        """Content of a file; None if there is none."""
        with _told():
            try:
                return (self.root / path).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def write(self, path: str, content: bytes) -> None:
        """Write a file whole."""
        with self._own_folder() as folder:
            file = folder / "content"
            file.write_bytes(content)
            self.publish(file, path)

    def create(self, path: str, content: bytes) -> bool:
        """Write a file whole unless it is there; whether it was written."""
        with self._own_folder() as folder, _told():
            file, target = folder / "content", self.root / path
            file.write_bytes(content)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                target.hardlink_to(file)
            except FileExistsError:
                return False
        return True

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """A folder for files that are being made, removed at the end."""
        self._clear_what_killed_processes_left()
        with self._own_folder() as folder:
            yield folder

    def publish(self, file: Path, path: str, sha256: str = "") -> Stat:
        """Bring a finished file to its place at once; its size and stamp."""
        target = self.root / path
        with _told():
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
                stat = _stat(os.fstat(opened.fileno()))  # a rename changes neither inode nor time
            target.parent.mkdir(parents=True, exist_ok=True)
            file.replace(target)
            folder = os.open(target.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        return stat

    @contextmanager
    def local(self, path: str) -> Iterator[Path]:
        """A second link to the file: a writer who replaces the first leaves this one alone."""
        with ExitStack() as stack:
            with _told():
                link = self._link(self.root / path, stack)
            yield link

    def _link(self, file: Path, stack: ExitStack) -> Path:
        file.stat()  # FileNotFoundError before anything is created
        try:
            link = stack.enter_context(self._own_folder()) / file.name
            link.hardlink_to(file)
        except FileNotFoundError:
            raise
        except OSError:  # a store that we may only read, or a file system without links
            return file
        return link

    def list(self, folder: str, prefix: str = "") -> Mapping[str, Stat]:
        """Size and stamp of all files below a folder whose paths begin with the prefix."""
        first, slash, remainder = prefix.partition("/")
        if slash:
            return self.list(f"{folder}/{first}", remainder)
        stats: dict[str, Stat] = {}
        with _told():
            for entry in self._entries(folder):
                if not entry.name.startswith(prefix):
                    continue
                path = f"{folder}/{entry.name}" if folder else entry.name
                if entry.is_dir():
                    stats |= self.list(path)
                else:
                    with suppress(FileNotFoundError):  # removed since it was listed
                        stats[path] = _stat((self.root / path).stat())
        return stats

    def folders(self, folder: str) -> Sequence[str]:
        """Names of the folders in a folder, sorted."""
        with _told():
            return sorted(entry.name for entry in self._entries(folder) if entry.is_dir())

    def remove(self, path: str) -> None:
        """Remove a file, if it is there."""
        with _told():
            (self.root / path).unlink(missing_ok=True)

    def _entries(self, folder: str) -> Sequence[os.DirEntry[str]]:
        try:
            with os.scandir(self.root / folder) as entries:
                return tuple(entries)
        except (FileNotFoundError, NotADirectoryError):
            return ()

    @contextmanager
    def _own_folder(self) -> Iterator[Path]:
        """A new folder, locked for as long as this process lives and needs it."""
        folder, lock = self._claim()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)

    def _claim(self) -> tuple[Path, int]:
        (self.root / STAGING).mkdir(parents=True, exist_ok=True)
        while True:
            folder = Path(tempfile.mkdtemp(prefix=f"{self.host}.", dir=self.root / STAGING))
            try:
                lock = os.open(folder, os.O_RDONLY)
            except FileNotFoundError:  # cleared by another process before it could be locked
                continue
            with suppress(OSError):  # without locks nothing is ever cleared
                fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)

    def _clear_what_killed_processes_left(self) -> None:
        for entry in self._entries(STAGING):
            if not entry.name.startswith(f"{self.host}."):
                continue
            folder = self.root / STAGING / entry.name
            with suppress(OSError):  # locked, so in use; or gone already
                lock = os.open(folder, os.O_RDONLY)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)
                finally:
                    os.close(lock)


def _stat(status: os.stat_result) -> Stat:
    """The inode tells two files apart where the clock of the file system is coarse."""
    return Stat(status.st_size, f"{status.st_mtime_ns}.{status.st_ino}")


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _PASSING:
            raise TransientError(f"{error.filename}: {error.strerror}; the file system may answer later") from error
        if error.errno in _FULL:
            raise TransientError(f"{error.filename}: {error.strerror}; make room there, then try again") from error
        if error.errno in _FORBIDDEN:
            raise NotAllowed(
                f"{error.filename}: {error.strerror}; grant yourself the right, or take another store"
            ) from error
        raise
