"""Masters as their plain pixels, on the disk of the machine that detrends many exposures with them.

Decoding the planes of a bias, a flat and a map of bad pixels costs as much as decoding two raw files.  Done once on a
machine, it costs nothing for all later exposures of any of its processes, which map the same memory.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.camera import Camera
from ztf_in2p3.detrend.bad_pixels import read_masks
from ztf_in2p3.detrend.ccd_master import CcdMaster, PlanesOnDemand
from ztf_in2p3.store.node_cache import NodeCache

Opened = Callable[[], AbstractContextManager[Path]]
"""Opens the verified file of a product; called if the cache has nothing of it."""
_CARDS, _FORMAT = "cards.json", "1"
"""The format is part of an entry's name: another one is another entry."""


@dataclass(frozen=True, slots=True)
class DecodedMasters:
    """Masters and maps of bad pixels, by the digest of their file; without a `cache` decoded each time."""

    cache: NodeCache | None = None

    @contextmanager
    def master(self, digest: str, opened: Opened, camera: Camera) -> Iterator[CcdMaster]:
        """`CcdMaster.open` of a file, but for the counts; a plane that is altered stays as it was for others.

        Raises
        ------
        BadData
            As `CcdMaster.open`.
        """
        with ExitStack() as stack:
            folder = self._entry(stack, f"master-{digest}", camera, partial(_write_master, opened, camera))
            if folder is None:
                yield stack.enter_context(CcdMaster.open(stack.enter_context(opened()), camera))
                return
            about = json.loads((folder / _CARDS).read_text())
            data, variance = (PlanesOnDemand(partial(_plane, folder, suffix)) for suffix in ("", "_VAR"))
            yield CcdMaster(
                about["ccdid"], data, variance, {}, {name: tuple(card) for name, card in about["cards"].items()}
            )

    def masks(self, digest: str, opened: Opened, camera: Camera) -> dict[int, NDArray[np.uint16]]:
        """`read_masks` of a file, (row, column) by qid."""
        with ExitStack() as stack:
            folder = self._entry(stack, f"masks-{digest}", camera, partial(_write_masks, opened, camera))
            if folder is None:
                return read_masks(stack.enter_context(opened()), camera)
            masks = {}
            for place in sorted(folder.glob("Q*_AT.npy")):
                qid = int(place.name[1])
                masks[qid] = np.zeros(camera.shape, np.uint16)
                masks[qid].ravel()[np.load(place)] = np.load(folder / f"Q{qid}.npy")
            return masks

    def _entry(self, stack: ExitStack, name: str, camera: Camera, fill: Callable[[Path], None]) -> Path | None:
        """Folder of an entry while the stack is open; None where there is no cache, or its disk does not serve."""
        if self.cache is None:
            return None
        name = f"{name}-{camera.shape[0]}x{camera.shape[1]}-{_FORMAT}"
        with contextlib.suppress(OSError):  # full, read-only, or another user's
            folder = stack.enter_context(self.cache.entry(name, fill))
            if _is_whole(folder):
                return folder
            self.cache.discard(name)
            return stack.enter_context(self.cache.entry(name, fill))
        return None


def _plane(folder: Path, suffix: str, qid: int) -> NDArray[np.float32]:
    # Mapped so that it may be written to, since compiled code tells a plane that may not from others; what is written
    # is this process's own.
    return np.load(folder / f"Q{qid}{suffix}.npy", mmap_mode="c").view(np.ndarray)


def _write_master(opened: Opened, camera: Camera, folder: Path) -> None:
    with opened() as path, CcdMaster.open(path, camera) as master:
        for suffix, planes in (("", master.data), ("_VAR", master.variance)):
            for qid in planes:
                _save(folder / f"Q{qid}{suffix}.npy", planes[qid])
        (folder / _CARDS).write_text(json.dumps({"ccdid": master.ccdid, "cards": master.cards}))
    _note_sizes(folder)


def _write_masks(opened: Opened, camera: Camera, folder: Path) -> None:
    with opened() as path:
        for qid, mask in read_masks(path, camera).items():
            at = np.flatnonzero(mask)
            _save(folder / f"Q{qid}_AT.npy", at.astype(np.int32))
            _save(folder / f"Q{qid}.npy", mask.ravel()[at])
    _note_sizes(folder)


def _save(path: Path, array: NDArray) -> None:
    np.save(path, np.ascontiguousarray(array), allow_pickle=False)


def _note_sizes(folder: Path) -> None:
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    (folder / "sizes.json").write_text(json.dumps(sizes))


def _is_whole(folder: Path) -> bool:
    """Whether each file has the length with which it was written: a machine that crashes may cut files short."""
    with contextlib.suppress(OSError, ValueError):
        sizes = json.loads((folder / "sizes.json").read_text())
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    return False
