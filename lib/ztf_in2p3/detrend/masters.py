"""Master calibrations of one CCD: bias, flat of one LED, flat of a filter."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.camera import Camera
from ztf_in2p3.detrend.amplifiers import left_out, n_usable, usable_frames
from ztf_in2p3.detrend.ccd_master import CcdMaster, PlanesOnDemand, ccd_median, corrections
from ztf_in2p3.detrend.combine import Stacked, combine, frame_levels
from ztf_in2p3.errors import BadData, MissingProduct
from ztf_in2p3.frames import RawCcd
from ztf_in2p3.identifiers import N_QUADRANT
from ztf_in2p3.products import Value
from ztf_in2p3.recipes import BiasRecipe, FlatRecipe, LedFlatRecipe, SensorRecipe
from ztf_in2p3.sensor.readout import Pockets
from ztf_in2p3.store.fits import Cards

__all__ = ["CcdMaster", "combine_leds", "led_flat", "master_bias"]

CHUNK_BYTES = 64 << 20
"""Bytes of raw pixels in memory at a time, over all frames."""
_ROWS = 256
"""Rows of LED flats averaged at a time."""
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
    """Clipped median or mean of bias frames, over the electronic offset and linear.

    A quadrant is made of the frames in which its amplifier worked, and holds no data where there is no such frame.

    Parameters
    ----------
    paths
        Raw files of the CCD, in any order; read a few rows at a time.
    cards
        To add: period, recipe, inputs.

    Raises
    ------
    BadData
        A file is not a raw frame of this CCD (its name is in the message), or no amplifier worked.
    MissingProduct
        No frames.
    """
    with open_all(paths, camera, ccdid) as raws:
        usable = usable_frames(raws, recipe.sensor)
        mean = recipe.takes_mean(n_usable(usable))
        stacked = {
            qid: combine(raws, qid, recipe.sensor, recipe.clip, chunk_bytes, mean=mean, indices=usable[qid].indices)
            for qid in _QIDS
        }
    noise = {f"NOISE{qid}": (round(s.noise, 4), "noise of one frame [adu]") for qid, s in stacked.items()}
    return CcdMaster(
        ccdid,
        {qid: s.data for qid, s in stacked.items()},
        PlanesOnDemand(lambda qid: stacked[qid].variance()),
        {qid: s.count for qid, s in stacked.items()},
        {
            **_about(n_usable(usable), recipe.sensor, recipe.clip, stacked),
            "COMBINE": ("mean" if mean else "median", "of the frames left after clipping"),
            **noise,
            **(cards or {}),
        },
        left_out(usable),
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

    Planes of the result are computed when asked for, so `bias` must stay open until then.

    Parameters, errors
        As for `master_bias`, and `pockets`, measured ones for the equilibrium model; BadData also
        if the frames are of several LEDs, or dark.
    """
    if bias.ccdid != ccdid:
        raise ValueError(f"flats of CCD {ccdid} with the bias of CCD {bias.ccdid}")
    sensor = recipe.bias.sensor
    with open_all(paths, camera, ccdid) as raws:
        led = _common_led(raws)
        usable = usable_frames(raws, sensor)
        levels = frame_levels(raws, bias, sensor, {qid: frames.indices for qid, frames in usable.items()})
        factors = np.nanmedian(levels) / levels
        stacked = {
            qid: combine(
                raws, qid, sensor, recipe.clip, chunk_bytes, bias, factors, pockets, indices=usable[qid].indices
            )
            for qid in _QIDS
        }
    norm = ccd_median({qid: s.data for qid, s in stacked.items()})

    def relative_variance(qid: int) -> NDArray[np.float32]:
        variance = stacked[qid].variance()
        variance += bias.variance[qid]
        variance /= np.float32(norm**2)
        return variance

    return CcdMaster(
        ccdid,
        PlanesOnDemand(lambda qid: stacked[qid].data / np.float32(norm)),
        PlanesOnDemand(relative_variance),
        {qid: s.count for qid, s in stacked.items()},
        {
            **_about(n_usable(usable), sensor, recipe.clip, stacked),
            "LED": (led, "flat-field LED"),
            "LEDNORM": (norm, "median of the CCD before division by it [adu]"),
            "LEDRMS": (float(np.nanstd(levels / np.nanmedian(levels))), "relative scatter of the frames' levels"),
            **(cards or {}),
        },
        left_out(usable),
    )


def combine_leds(flats: Collection[CcdMaster], recipe: FlatRecipe, *, cards: Cards | None = None) -> CcdMaster:
    """Flat of a filter: weighted mean of its LEDs' flats; a LED of weight 0 is left out.

    Each LED's level counts in FLTNORM with the LED's weight.  A pixel that some LEDs do not
    know is made of the others.

    Parameters
    ----------
    flats
        Flats of one CCD.  One quadrant of each is asked for at a time: open files (`CcdMaster.open`) need the
        memory of a quadrant.

    Raises
    ------
    BadData
        Flats of several CCDs.
    MissingProduct
        No flat, or none with a weight.
    """
    ccdids = {flat.ccdid for flat in flats}
    if len(ccdids) > 1:
        raise BadData(f"LED flats of CCDs {sorted(ccdids)}; a flat is of one CCD")
    named = dict(recipe.weights)
    leds = [int(flat.value("LED")) for flat in flats]  # type: ignore[arg-type]
    chosen = [(flat, led, named.get(led, 1.0)) for flat, led in zip(flats, leds, strict=True)]
    chosen = [parts for parts in chosen if parts[2] != 0]
    if not chosen:
        raise MissingProduct(
            f"no LED flat with a weight to combine (weights {recipe.weights}); make the LED flats first"
        )
    used, weights = [flat for flat, _, _ in chosen], [weight for _, _, weight in chosen]
    by_led = sorted((led, weight) for _, led, weight in chosen)
    planes = {qid: _weighted_mean(used, weights, qid) for qid in _QIDS}
    data = {qid: parts[0] for qid, parts in planes.items()}
    levels = [float(flat.value("LEDNORM")) for flat in used]  # type: ignore[arg-type]
    n_frames = [int(flat.value("NFRAMES")) for flat in used]  # type: ignore[arg-type]
    return CcdMaster(
        ccdids.pop(),
        data,
        {qid: parts[1] for qid, parts in planes.items()},
        {qid: parts[2] for qid, parts in planes.items()},
        {
            **{key: used[-1].cards[key] for key in _CORRECTIONS if key in used[-1].cards},
            "NFRAMES": (sum(n_frames), "frames combined"),
            "LEDS": (",".join(str(led) for led, _ in by_led), "flat-field LEDs"),
            "LEDWEIGH": (",".join(f"{weight:g}" for _, weight in by_led), "their weights"),
            "FLTNORM": (float(np.average(levels, weights=weights)), "mean of the LEDs' levels [adu]"),
            "FLTMED": (ccd_median(data), "median of the CCD"),
            **(cards or {}),
        },
    )


# --- small parts


def _common_led(raws: Sequence[RawCcd]) -> int:
    leds = {raw.led for raw in raws}
    if len(leds) > 1:
        names = ", ".join(f"{raw.path.name}: {raw.led}" for raw in raws)
        raise BadData(f"frames of {len(leds)} LEDs where one is expected ({names}); see how they were chosen")
    return leds.pop()


def _weighted_mean(flats: Sequence[CcdMaster], weights: Sequence[float], qid: int) -> tuple[NDArray, NDArray, NDArray]:
    """Data, variance and frames of one quadrant, of those flats that know the pixel."""
    for i, (flat, weight) in enumerate(zip(flats, weights, strict=True)):
        data, variance, count = flat.data[qid], flat.variance[qid], flat.count[qid]
        if i == 0:
            total = [np.zeros(data.shape, kind) for kind in (np.float32, np.float32, np.uint16, np.float32)]
        for start in range(0, len(data), _ROWS):
            rows = slice(start, start + _ROWS)
            known = np.isfinite(data[rows]) & np.isfinite(variance[rows])
            w = known * np.float32(weight)
            total[0][rows] += np.where(known, data[rows], 0) * w
            total[1][rows] += np.where(known, variance[rows], 0) * w * w
            total[2][rows] += np.where(known, count[rows], 0).astype(np.uint16)
            total[3][rows] += w
        del data, variance, count  # not to be in memory with those of the next
    mean, variance_of_mean, frames, w = total
    with np.errstate(invalid="ignore", divide="ignore"):  # 0/0 = NaN: no LED knows the pixel
        mean /= w
        variance_of_mean /= w * w
    return mean, variance_of_mean, frames


def _about(
    n_frames: int, sensor: SensorRecipe, clip: float, stacked: Mapping[int, Stacked]
) -> Mapping[str, tuple[Value, str]]:
    return {
        "NFRAMES": (n_frames, "frames combined"),
        "CLIP": (clip, "rejection threshold [standard deviations]"),
        **corrections(sensor, pocket=any(stack.pocket for stack in stacked.values())),
    }


@contextmanager
def open_all(paths: Sequence[Path], camera: Camera, ccdid: int) -> Iterator[list[RawCcd]]:
    """The frames, open, in the order of their names: each file is opened once."""
    if not paths:
        raise MissingProduct(f"no frames of CCD {ccdid} to combine; download them first")
    with ExitStack() as stack:
        ordered = sorted(paths, key=lambda path: (path.name, path))
        yield [stack.enter_context(RawCcd.open(path, camera, ccdid)) for path in ordered]
