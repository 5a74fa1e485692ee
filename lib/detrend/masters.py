"""Master calibrations of one CCD: bias, flat of one LED, flat of a filter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lib.camera import Camera
from lib.detrend.ccd_master import CcdMaster, PlanesOnDemand, ccd_median, corrections
from lib.detrend.combine import Stacked, combine, frame_level
from lib.errors import BadData, MissingProduct
from lib.frames import RawCcd
from lib.identifiers import N_QUADRANT
from lib.products import Value
from lib.recipes import BiasRecipe, FlatRecipe, LedFlatRecipe, SensorRecipe
from lib.sensor.readout import Pockets
from lib.store.fits import Cards

__all__ = ["CcdMaster", "combine_leds", "led_flat", "master_bias"]

CHUNK_BYTES = 64 << 20
"""Of raw pixels in memory at a time, over all frames."""
_QIDS = range(1, N_QUADRANT + 1)
_CORRECTIONS = ("OSCANCOR", "LINCOR", "POCKCOR", "CLIP")


def master_bias(
    paths: Sequence[Path],
    camera: Camera,
    ccdid: int,
    recipe: BiasRecipe,
    *,
    cards: Cards | None = None,
    chunk_bytes: int = CHUNK_BYTES,
) -> CcdMaster:
    """Clipped median of bias frames, over the electronic offset and linear.

    Parameters
    ----------
    paths
        Raw files of the CCD, in any order; read a few rows at a time.
    cards
        To add: period, recipe, inputs.

    Raises
    ------
    BadData
        A file is not a raw frame of this CCD; its name is in the message.
    MissingProduct
        No frames.
    """
    with _open_all(paths, camera, ccdid) as raws:
        stacked = {qid: combine(raws, qid, recipe.sensor, recipe.clip, chunk_bytes) for qid in _QIDS}
    noise = {f"NOISE{qid}": (round(s.noise, 4), "noise of one frame [adu]") for qid, s in stacked.items()}
    return CcdMaster(
        ccdid,
        {qid: s.data for qid, s in stacked.items()},
        PlanesOnDemand(lambda qid: stacked[qid].variance()),
        {qid: s.count for qid, s in stacked.items()},
        {**_about(len(paths), recipe.sensor, recipe.clip, stacked), **noise, **(cards or {})},
    )


def led_flat(
    paths: Sequence[Path],
    bias: CcdMaster,
    camera: Camera,
    ccdid: int,
    recipe: LedFlatRecipe,
    *,
    pockets: Pockets | None = None,
    cards: Cards | None = None,
    chunk_bytes: int = CHUNK_BYTES,
) -> CcdMaster:
    """Clipped median of the flats of one LED, bias subtracted, divided by the CCD's median.

    The lamp varies from frame to frame by more than the pixels' noise, and a median of frames
    of different levels would be little else than the frame in the middle; so each frame is
    first brought to the median level of them all.  The level of the result goes in LEDNORM.

    Parameters, errors
        As for `master_bias`, and `pockets`, measured ones for the equilibrium model; BadData also
        if the frames are of several LEDs, or dark.
    """
    if bias.ccdid != ccdid:
        raise ValueError(f"flats of CCD {ccdid} with the bias of CCD {bias.ccdid}")
    sensor = recipe.bias.sensor
    with _open_all(paths, camera, ccdid) as raws:
        led = _common_led(raws)
        levels = np.array([frame_level(raw, bias, sensor) for raw in raws])
        factors = np.median(levels) / levels
        stacked = {qid: combine(raws, qid, sensor, recipe.clip, chunk_bytes, bias, factors, pockets) for qid in _QIDS}
    norm = ccd_median([s.data for s in stacked.values()])
    variance = {qid: (s.variance() + bias.variance[qid]) / np.float32(norm**2) for qid, s in stacked.items()}
    return CcdMaster(
        ccdid,
        {qid: np.divide(s.data, np.float32(norm), out=s.data) for qid, s in stacked.items()},
        variance,
        {qid: s.count for qid, s in stacked.items()},
        {
            **_about(len(paths), sensor, recipe.clip, stacked),
            "LED": (led, "flat-field LED"),
            "LEDNORM": (norm, "median of the CCD before division by it [adu]"),
            "LEDRMS": (float(np.std(levels / np.median(levels))), "relative scatter of the frames' levels"),
            **(cards or {}),
        },
    )


def combine_leds(flats: Iterable[CcdMaster], recipe: FlatRecipe, *, cards: Cards | None = None) -> CcdMaster:
    """Flat of a filter: weighted mean of its LEDs' flats; a LED of weight 0 is left out.

    Each LED's level counts in FLTNORM with the LED's weight.  A pixel that some LEDs do not
    know is made of the others.

    Parameters
    ----------
    flats
        Of one CCD.  Taken one after the other, so a generator keeps only one in memory.

    Raises
    ------
    BadData
        Flats of several CCDs.
    MissingProduct
        No flat, or none with a weight.
    """
    weights = dict(recipe.weights)
    total: dict[int, list[NDArray]] = {}
    levels, leds, ccdids, n_frames = [], [], set(), 0
    about: dict[str, Value | tuple[Value, str]] = {}
    for flat in flats:
        led = int(flat.value("LED"))  # type: ignore[arg-type]
        weight = weights.get(led, 1.0)
        ccdids.add(flat.ccdid)
        if len(ccdids) > 1:
            raise BadData(f"LED flats of CCDs {sorted(ccdids)}; a flat is of one CCD")
        if weight == 0:
            continue
        leds.append((led, weight))
        levels.append(float(flat.value("LEDNORM")))  # type: ignore[arg-type]
        n_frames += int(flat.value("NFRAMES"))  # type: ignore[arg-type]
        about = {key: flat.cards[key] for key in _CORRECTIONS if key in flat.cards}
        for qid in _QIDS:
            _add(total.setdefault(qid, []), flat, qid, weight)
    if not leds:
        raise MissingProduct(
            f"no LED flat with a weight to combine (weights {recipe.weights}); make the LED flats first"
        )
    with np.errstate(invalid="ignore", divide="ignore"):  # 0/0 = NaN: no LED knows the pixel
        data = {qid: value / weight for qid, (value, weight, _, _) in total.items()}
        variance = {qid: var / weight**2 for qid, (_, weight, var, _) in total.items()}
    return CcdMaster(
        ccdids.pop(),
        data,
        variance,
        {qid: planes[3] for qid, planes in total.items()},
        {
            **about,
            "NFRAMES": (n_frames, "frames combined"),
            "LEDS": (",".join(str(led) for led, _ in sorted(leds)), "flat-field LEDs"),
            "FLTNORM": (float(np.average(levels, weights=[w for _, w in leds])), "mean of the LEDs' levels [adu]"),
            "FLTMED": (ccd_median(list(data.values())), "median of the CCD"),
            **(cards or {}),
        },
    )


# --- small parts


def _common_led(raws: Sequence[RawCcd]) -> int:
    leds = {raw.led for raw in raws}
    if len(leds) > 1:
        seen = ", ".join(f"{raw.path.name}: {raw.led}" for raw in raws)
        raise BadData(f"frames of {len(leds)} LEDs where one is expected ({seen}); see how they were chosen")
    return leds.pop()


def _add(total: list[NDArray], flat: CcdMaster, qid: int, weight: float) -> None:
    """Add one LED to the sums: weighted data, weight, weighted variance, count."""
    data, variance, count = flat.data[qid], flat.variance[qid], flat.count[qid]
    known = np.isfinite(data) & np.isfinite(variance)
    w = known * np.float32(weight)
    terms = [
        np.where(known, data, 0) * w,
        w,
        np.where(known, variance, 0) * w * w,
        np.where(known, count, 0).astype(np.uint16),
    ]
    if not total:
        total += terms
    else:
        for sum_, term in zip(total, terms, strict=True):
            sum_ += term


def _about(
    n_frames: int, sensor: SensorRecipe, clip: float, stacked: Mapping[int, Stacked]
) -> Mapping[str, tuple[Value, str]]:
    return {
        "NFRAMES": (n_frames, "frames combined"),
        "CLIP": (clip, "rejection threshold [standard deviations]"),
        **corrections(sensor, pocket=any(one.pocket for one in stacked.values())),
    }


@contextmanager
def _open_all(paths: Sequence[Path], camera: Camera, ccdid: int) -> Iterator[list[RawCcd]]:
    """The frames, open, in the order of their names: each file is opened once."""
    if not paths:
        raise MissingProduct(f"no frames of CCD {ccdid} to combine; download them first")
    with ExitStack() as stack:
        ordered = sorted(paths, key=lambda path: (path.name, path))
        yield [stack.enter_context(RawCcd.open(path, camera, ccdid)) for path in ordered]
