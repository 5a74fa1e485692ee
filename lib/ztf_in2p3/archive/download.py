"""One file's way from a web archive to a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from ztf_in2p3.archive.atomic_write import whole_or_absent
from ztf_in2p3.archive.check import check, check_header
from ztf_in2p3.archive.errors import Damaged
from ztf_in2p3.archive.header import read_until_end, write_header
from ztf_in2p3.archive.layout import ArchiveFile
from ztf_in2p3.archive.listing import FileState
from ztf_in2p3.archive.web import CHUNK, Web
from ztf_in2p3.errors import BadData, PipelineError, TransientError
from ztf_in2p3.hdu import BLOCK
from ztf_in2p3.products import Kind, Value


class Transfer:
    """A download, as an attempt that can be made again.

    Called, it leaves the whole and checked file at its path and returns what is worth
    knowing of it, or leaves nothing and raises.  Damage is taken for the network's doing, and
    another try may help, unless two tries brought the same bytes.
    """

    def __init__(
        self, web: Web, file: ArchiveFile, address: str, path: Path, progress: Callable[[int], None] | None
    ) -> None:
        self._web, self._file, self._address, self._path = web, file, address, path
        self._progress = progress or (lambda n_byte: None)
        self._chunk = BLOCK if file.kind is Kind.HEADER else CHUNK
        self._seen: set[bytes] = set()

    def __call__(self) -> dict[str, Value]:
        """Download the file once, checking what comes; returns facts about it."""
        received = 0
        digest = hashlib.sha256()

        def counted(chunks: Iterator[bytes]) -> Iterator[bytes]:
            nonlocal received
            for chunk in chunks:
                received += len(chunk)
                digest.update(chunk)
                self._progress(len(chunk))
                yield chunk

        try:
            with whole_or_absent(self._path) as part, self._web.get(self._address, chunk=self._chunk) as answer:
                return self._receive(counted(answer.chunks), part) | FileState(answer.length, answer.date).about
        except Damaged as error:
            self._take_back(received)
            again = digest.digest() in self._seen
            self._seen.add(digest.digest())
            if again and not error.short:
                raise BadData(f"{error} (two transfers gave the same bytes: it is damaged in the archive)") from error
            raise TransientError(str(error)) from error
        except PipelineError:
            self._take_back(received)
            raise

    def _take_back(self, n_byte: int) -> None:
        if n_byte:
            self._progress(-n_byte)

    def _receive(self, chunks: Iterator[bytes], part: Path) -> dict[str, Value]:
        name = f"{self._web.base}{self._address}"
        if self._file.kind is Kind.HEADER:
            header = read_until_end(chunks, name)  # and the connection is closed without the pixels
            about = check_header(header, self._file, name)
            write_header(part, header)
            return about
        with part.open("wb") as out:
            for chunk in chunks:
                out.write(chunk)
        return check(part, self._file, name)
