"""Partitions on disk, read one at a time: what a pass over them holds in memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.fit.model import Partition

ALIGNED = 8
"""Bytes to which the arrays of a file are aligned."""


@dataclass(frozen=True, slots=True)
class _Array:
    dtype: np.dtype
    shape: tuple[int, ...]
    offset: int
    """Place in the file, bytes."""

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape)) * self.dtype.itemsize


class ChunkStore:
    """A file a partition, in a folder that is this fit's alone; one read fills all arrays of a partition."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._layouts: list[tuple[dict[str, _Array], int]] = []
        self.n_row = self.n_star = 0

    def append(self, part: Partition) -> None:
        """Write one more partition."""
        layout, end = {}, 0
        with self._path(len(self._layouts)).open("wb") as file:
            for name in Partition.__slots__:
                array = np.ascontiguousarray(getattr(part, name))
                layout[name] = _Array(array.dtype, np.shape(getattr(part, name)), end)
                file.write(array.tobytes())
                file.write(bytes(-array.nbytes % ALIGNED))
                end = file.tell()
        self._layouts.append((layout, end))
        self.n_row += len(part.y)
        self.n_star += part.n_star

    def __iter__(self) -> Iterator[Partition]:
        for number, (layout, size) in enumerate(self._layouts):
            content = np.fromfile(self._path(number), np.uint8, size)
            yield Partition(**{name: _view(content, array) for name, array in layout.items()})

    def keep(self, number: int, part: Partition, names: Sequence[str]) -> None:
        """Write down what a partition now has in arrays of these names."""
        layout, _ = self._layouts[number]
        with self._path(number).open("r+b") as file:
            for name in names:
                file.seek(layout[name].offset)
                file.write(getattr(part, name).tobytes())

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06d}.part"


def _view(content: NDArray[np.uint8], array: _Array) -> Any:
    values = content[array.offset : array.offset + array.nbytes].view(array.dtype).reshape(array.shape)
    return values if array.shape else int(values)
