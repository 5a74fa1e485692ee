"""What spoils calibration frames: each fault is a switch on raw files that are there already, with its truth.

The truth of a fault is what may still be used: the frames without it, or, where nothing tells the good from the bad,
none.  Pixels that are not named by a fault stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.identifiers import N_QUADRANT
from ztf_in2p3.simulate.raw import cfitsio

Plane = NDArray[np.float32]
Change = Callable[[Plane, Plane, np.random.Generator], None]
"""Changes image and overscan of a quadrant as stored, ADU, in place."""

_QIDS = tuple(range(1, N_QUADRANT + 1))
_CEILING = 65535.0
_STEPS = 64.0
"""Steps of the quantisation per standard deviation of a row: a 220th of the noise is added."""
RIGHT, REFUSED = "right", "refused"


@dataclass(frozen=True, slots=True)
class FrameFault:
    """One thing that goes wrong with frames of a series."""

    change: Change
    share: float
    """Share of the series that has it."""
    truth: str
    """Whether what is left makes a right master, or nothing can."""
    qids: tuple[int, ...] = _QIDS


def _offset(overscan: Plane) -> Plane:
    return np.median(overscan, axis=1, keepdims=True)


def _leak(image: Plane, overscan: Plane, draw: np.random.Generator) -> None:
    """Light in a frame that should be dark, as even as can be."""
    image += 28.0


def _glow(image: Plane, overscan: Plane, draw: np.random.Generator) -> None:
    image += np.linspace(0, 30, image.shape[0], dtype=np.float32)[:, np.newaxis]


def _noise(image: Plane, overscan: Plane, draw: np.random.Generator) -> None:
    image += draw.normal(0, 4.5, image.shape).astype(np.float32)


def _unlit(image: Plane, overscan: Plane, draw: np.random.Generator) -> None:
    image[:] = _offset(overscan) + 60 + draw.normal(0, 1.5, image.shape)


def _dim(image: Plane, overscan: Plane, draw: np.random.Generator) -> None:
    image[:] = _offset(overscan) + 83 + draw.normal(0, 2.5, image.shape)


def _tilt(image: Plane, overscan: Plane, draw: np.random.Generator) -> None:
    """A lamp that lights one side by a tenth more than the other."""
    level = _offset(overscan)
    image[:] = level + (image - level) * (1 + np.linspace(-0.05, 0.05, image.shape[1], dtype=np.float32))


def _half_lamp(image: Plane, overscan: Plane, draw: np.random.Generator) -> None:
    level = _offset(overscan)
    image[:] = level + (image - level) * np.float32(0.4)


def _saturated(image: Plane, overscan: Plane, draw: np.random.Generator) -> None:
    level = _offset(overscan)
    image[:] = np.minimum(level + (image - level) * np.float32(3.2), _CEILING)


def _overscan_of(value: float) -> Change:
    def change(image: Plane, overscan: Plane, draw: np.random.Generator) -> None:
        overscan[:] = value

    return change


def _overscan_noise(image: Plane, overscan: Plane, draw: np.random.Generator) -> None:
    overscan += draw.normal(0, 20, overscan.shape).astype(np.float32)


def _overscan_step(image: Plane, overscan: Plane, draw: np.random.Generator) -> None:
    overscan[len(overscan) // 2 :] += 30.0


def _nan(image: Plane, overscan: Plane, draw: np.random.Generator) -> None:
    image[:] = np.nan


_AMPLIFIER: Mapping[str, tuple[Change, float]] = {
    "overscan of 65535": (_overscan_of(_CEILING), 0.3),
    "overscan of 0": (_overscan_of(0.0), 0.3),
    "overscan of one value": (_overscan_of(700.0), 0.3),
    "noisy overscan": (_overscan_noise, 0.3),
    "step in the overscan": (_overscan_step, 0.3),
    "NaN quadrant": (_nan, 0.3),
}
BIAS_FAULTS: Mapping[str, FrameFault] = {
    "light in a fifth": FrameFault(_leak, 0.2, RIGHT),
    "light in six of ten": FrameFault(_leak, 0.6, RIGHT),
    "glow in a fifth": FrameFault(_glow, 0.2, RIGHT),
    "glow in half": FrameFault(_glow, 0.5, RIGHT),
    "noise in a fifth": FrameFault(_noise, 0.2, RIGHT, (2,)),
    "noise in all": FrameFault(_noise, 1.0, REFUSED, (2,)),
    **{name: FrameFault(change, share, RIGHT, (3,)) for name, (change, share) in _AMPLIFIER.items()},
    "overscan of 0 in all": FrameFault(_overscan_of(0.0), 1.0, REFUSED, (3,)),
}
"""What goes wrong with bias frames, by name."""
FLAT_FAULTS: Mapping[str, FrameFault] = {
    "one unlit": FrameFault(_unlit, 0.25, RIGHT),
    "all unlit": FrameFault(_unlit, 1.0, REFUSED),
    "23 ADU in all": FrameFault(_dim, 1.0, REFUSED),
    "one tilted": FrameFault(_tilt, 0.25, RIGHT),
    "half tilted": FrameFault(_tilt, 0.5, REFUSED),
    "lamp at 40 % once": FrameFault(_half_lamp, 0.25, RIGHT),
    "one saturated": FrameFault(_saturated, 0.25, RIGHT),
    "all saturated": FrameFault(_saturated, 1.0, REFUSED),
    **{name: FrameFault(change, share, RIGHT, (3,)) for name, (change, share) in _AMPLIFIER.items()},
}
"""What goes wrong with flats of one lamp."""
SCIENCE_FAULTS: Mapping[str, FrameFault] = {
    name: FrameFault(change, 1.0, REFUSED, (3,)) for name, (change, _) in _AMPLIFIER.items()
}
"""What goes wrong with a quadrant of an exposure of the sky."""


def spoil_frame(path: Path, fault: FrameFault, seed: int = 1) -> None:
    """Let a raw file have a fault, its HDUs in the usual order."""
    fitsio = cfitsio()
    with fitsio.FITS(path) as file:
        headers = [hdu.read_header() for hdu in file]
        planes = {index: file[index].read().astype(np.float32) for index in range(1, len(headers))}
    for header in headers:
        for keyword in ("CHECKSUM", "DATASUM"):  # those of the sound file
            header.delete(keyword)
    for qid in fault.qids:
        draw = np.random.default_rng([seed, qid, sum(path.name.encode())])
        fault.change(planes[qid], planes[qid + N_QUADRANT], draw)
    how = {"compress": "RICE", "qlevel": _STEPS, "qmethod": fitsio.SUBTRACTIVE_DITHER_1, "dither_seed": 1}
    with fitsio.FITS(path, "rw", clobber=True) as file:
        file.write(None, header=headers[0])
        for index, pixels in planes.items():
            file.write(pixels, header=headers[index], tile_dims=(1, pixels.shape[1]), **how)


def spoilt_copies(paths: Sequence[Path], folder: Path, fault: FrameFault, seed: int = 1) -> list[Path]:
    """Copies of a series of which a share has the fault: every other frame until there are enough."""
    n_bad = max(1, round(fault.share * len(paths)))
    order = [*range(0, len(paths), 2), *range(1, len(paths), 2)]
    chosen = {paths[index] for index in order[:n_bad]}
    copies = []
    for path in paths:
        copy = folder / path.name
        copy.write_bytes(path.read_bytes())
        if path in chosen:
            spoil_frame(copy, fault, seed)
        copies.append(copy)
    return copies
