"""One master calibration of a CCD: its planes, its cards, its file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ztf_in2p3.camera import Camera
from ztf_in2p3.cards import integer
from ztf_in2p3.detrend.packed import PackedData, PackedVariance
from ztf_in2p3.errors import BadData
from ztf_in2p3.identifiers import N_QUADRANT
from ztf_in2p3.products import Value
from ztf_in2p3.recipes import SensorRecipe
from ztf_in2p3.rice import RiceImage
from ztf_in2p3.store.fits import Cards, Plane, write_fits

_STRUCTURE = {"SIMPLE", "BITPIX", "NAXIS", "EXTEND", "CHECKSUM", "DATASUM", "COMMENT", "HISTORY", ""}

_QIDS = range(1, N_QUADRANT + 1)
_FACTS = ("LEDRMS", *(f"{name}{qid}" for name in ("EXCESS", "LEDLACK") for qid in _QIDS))
"""Cards that tell how good a master is."""

Planes = Mapping[int, Any]
"""Planes by qid; (row, column) as stored, float32 arrays or packed ones that give them row by row."""


@dataclass(frozen=True, slots=True, eq=False)
class CcdMaster:
    """One calibration of the four quadrants of a CCD."""

    ccdid: int
    data: Planes
    """float32, ADU for a bias, a pure number for a flat.  NaN where no frame has data."""
    variance: Planes
    """float32, the square of it."""
    count: Planes
    """uint8 or uint16, frames that the pixel is made of."""
    cards: Cards = field(default_factory=dict)
    """Cards of the primary header."""
    left_out: Mapping[str, Value] = field(default_factory=dict)
    """Frames left out, known while it is made: ``left_out_q1``, the reason; ``dead_q1``, whether none serves."""

    def value(self, keyword: str) -> Value:
        """Value of a card.  BadData if there is none: another kind of master is needed."""
        return card_value(self.cards, keyword, f"master of CCD {self.ccdid}")

    def number(self, keyword: str) -> float:
        """Value of a card that is a number.  BadData if it is none, or there is no such card."""
        return card_number(self.cards, keyword, f"master of CCD {self.ccdid}")

    @property
    def summary(self) -> dict[str, Value]:
        """Small facts for who looks for a master."""
        facts = {keyword.lower(): self.value(keyword) for keyword in _FACTS if keyword in self.cards}
        return {"n_frames": self.value("NFRAMES"), **facts, **self.left_out}

    def write(self, path: Path) -> None:
        """One file: cards, then Q1, Q1_VAR, Q1_N and so on."""
        unit = "" if "FLTNORM" in self.cards or "LEDNORM" in self.cards else "adu"

        def planes() -> Iterator[Plane]:
            for qid in sorted(self.data):
                yield Plane(f"Q{qid}", self.data[qid], unit)
                yield Plane(f"Q{qid}_VAR", self.variance[qid], unit and f"{unit}2")
                count = self.count[qid]
                yield Plane(f"Q{qid}_N", count.astype(np.uint8, copy=False) if count.max() < 256 else count)

        write_fits(path, planes(), {"CCDID": (self.ccdid, "CCD number"), **self.cards})

    @classmethod
    def read(cls, path: Path, camera: Camera) -> Self:
        """Inverse of `write`, but for the quantisation of the float planes.

        Raises
        ------
        BadData
            No master calibration, or of another camera.
        """
        with cls.open(path, camera) as master:
            data, variance, count = ({qid: planes[qid] for qid in _QIDS} for planes in master._planes)
            return cls(master.ccdid, data, variance, count, master.cards)

    @classmethod
    @contextmanager
    def open(cls, path: Path, camera: Camera) -> Iterator[Self]:
        """`read`, but each plane is read when asked for, every time, and not kept: one quadrant in memory, not four."""
        cards = read_cards(path)
        with path.open("rb") as file, fits.open(file, memmap=False, disable_image_compression=True) as hdus:
            read = partial(_plane, path, file, hdus, camera)
            for qid in _QIDS:
                for suffix in ("", "_VAR", "_N"):
                    _check_plane(path, hdus, f"Q{qid}{suffix}", camera)
            yield cls(
                int(card_number(cards, "CCDID", path)),
                PlanesOnDemand(lambda qid: read(f"Q{qid}", np.float32)),
                PlanesOnDemand(lambda qid: read(f"Q{qid}_VAR", np.float32)),
                PlanesOnDemand(lambda qid: read(f"Q{qid}_N", np.uint16)),
                cards,
            )

    def packed(self) -> Self:
        """The master in half the memory, for detrending: `ztf_in2p3.detrend.packed`.  Counts are left behind."""
        data, variance = {}, {}
        for qid in sorted(self.data):
            exact = self.variance[qid]
            data[qid], variance[qid] = PackedData.of(self.data[qid], exact), PackedVariance.of(exact)
        return replace(self, data=data, variance=variance, count={})

    def __repr__(self) -> str:
        kind = "flat" if {"FLTNORM", "LEDNORM"} & self.cards.keys() else "bias"
        frames = f"{card_value(self.cards, 'NFRAMES', 'master')} frames" if "NFRAMES" in self.cards else "frames"
        rows, columns = self.data[min(self.data)].shape
        return f"CcdMaster of CCD {self.ccdid}: {kind} of {frames}, {rows} x {columns} pixels a quadrant"

    @property
    def _planes(self) -> tuple[Planes, Planes, Planes]:
        return self.data, self.variance, self.count


class PlanesOnDemand(Mapping[int, NDArray]):
    """Planes of the four quadrants that are made, or read, each time they are asked for."""

    def __init__(self, make: Callable[[int], NDArray]) -> None:
        self._make = make

    def __getitem__(self, qid: int) -> NDArray:
        if qid not in _QIDS:
            raise KeyError(qid)
        return self._make(qid)

    def __iter__(self) -> Iterator[int]:
        return iter(_QIDS)

    def __len__(self) -> int:
        return N_QUADRANT


def _check_plane(path: Path, hdus: fits.HDUList, name: str, camera: Camera) -> None:
    shape: object = "none"
    if name in hdus:
        header = hdus[name].header
        shape = integer(header, "ZNAXIS2"), integer(header, "ZNAXIS1")
    if shape != camera.shape:
        raise BadData(
            f"{path}: plane {name} of shape {camera.shape} expected for camera {camera.name!r}, "
            f"found {shape}; make this master again"
        )


def _plane(
    path: Path, file: BinaryIO, hdus: fits.HDUList, camera: Camera, name: str, kind: type[np.generic]
) -> NDArray:
    image = RiceImage.of(hdus[name])
    if image is not None:
        return image.rows(file.fileno())
    with fits.open(path, memmap=False) as decoded:
        return np.asarray(decoded[name].data, dtype=kind)


def read_cards(path: Path) -> dict[str, tuple[Value, str]]:
    """Cards of a master's primary header, without reading its pixels."""
    try:
        header = fits.getheader(path, 0)
    except OSError as error:
        raise BadData(f"{path}: not a FITS file ({error}); make this master again") from error
    return {card.keyword: (card.value, card.comment) for card in header.cards if card.keyword not in _STRUCTURE}


def card_value(cards: Cards, keyword: str, of: object) -> Value:
    """Value of a card; BadData if it is missing."""
    if keyword not in cards:
        raise BadData(f"{of}: no card {keyword}; is it the right kind of master calibration?")
    value = cards[keyword]
    return value[0] if isinstance(value, tuple) else value


def card_number(cards: Cards, keyword: str, of: object) -> float:
    """Value of a card that is a number; BadData if it is none, or is missing."""
    value = card_value(cards, keyword, of)
    if isinstance(value, str | bool) or value is None:
        raise BadData(f"{of}: {keyword} is {value!r}, expected a number; make the master again")
    return float(value)


def ccd_median(planes: Planes) -> float:
    """Median of all finite pixels of a CCD."""
    sizes = {qid: planes[qid].size for qid in planes}
    pixels, n = np.empty(sum(sizes.values()), np.float32), 0
    for qid in planes:
        known = planes[qid][np.isfinite(planes[qid])]
        pixels[n : n + known.size] = known
        n += known.size
    if not n:
        raise BadData("no pixel of the CCD holds data; look at its frames")
    return float(np.median(pixels[:n], overwrite_input=True))


def corrections(sensor: SensorRecipe, *, pocket: bool) -> dict[str, tuple[Value, str]]:
    """Cards that say what was undone of the sensor's effects; `pocket`: whether there was one, and it was."""
    return {
        "OSCANCOR": (True, f"offset: {sensor.overscan_columns} overscan columns, degree {sensor.overscan_degree}"),
        "LINCOR": (sensor.linearise, "non-linearity corrected"),
        "POCKCOR": (pocket, "pocket effect corrected" + (f": {sensor.pocket}" if pocket else "")),
    }
