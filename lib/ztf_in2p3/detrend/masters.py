"""Master calibrations of one CCD: bias, flat of one LED, flat of a filter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.camera import Camera
from ztf_in2p3.detrend.amplifiers import UsableFrames, left_out, left_out_cards, n_usable, require_usable
from ztf_in2p3.detrend.ccd_master import CcdMaster, PlanesOnDemand, ccd_median, corrections
from ztf_in2p3.detrend.combine import Stacked, combine, frame_levels, level_bands
from ztf_in2p3.detrend.frame_checks import check_bias_frames, check_flat_frames, lamp_ratios
from ztf_in2p3.detrend.frame_samples import FrameSample, band_rows, rows_of, sample_frames
from ztf_in2p3.detrend.lamp_light import LampLevel, exposure_of
from ztf_in2p3.detrend.led_mean import combine_leds
from ztf_in2p3.errors import BadData, MissingProduct
from ztf_in2p3.frames import RawCcd
from ztf_in2p3.identifiers import N_QUADRANT
from ztf_in2p3.products import Value
from ztf_in2p3.recipes import BiasRecipe, LedFlatRecipe, SensorRecipe
from ztf_in2p3.sensor.readout import Pockets, Readout
from ztf_in2p3.store.fits import Cards

__all__ = ["CcdMaster", "combine_leds", "led_flat", "master_bias"]

CHUNK_BYTES = 64 << 20
"""Bytes of raw pixels in memory at a time, over all frames."""
_QIDS = range(1, N_QUADRANT + 1)


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
        samples = sample_frames(raws, recipe.sensor)
        usable = usable_biases(samples, ccdid, recipe)
        mean = recipe.takes_mean(n_usable(usable))
        stacked = {
            qid: combine(
                raws,
                qid,
                recipe.sensor,
                recipe.clip,
                chunk_bytes,
                mean=mean,
                indices=usable[qid].indices,
                offsets=_readouts(samples, qid),
            )
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
            **_excess_cards(stacked),
            **left_out_cards(usable),
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
    with open_all(paths, camera, ccdid) as opened:
        raws, led, unnamed = _of_common_led(opened)
        bias_rows, bias_levels = {}, {}
        for qid in _QIDS:
            plane = bias.data[qid]
            bias_rows[qid] = rows_of(plane, band_rows(len(plane)))
            bias_levels[qid] = rows_of(plane, level_bands(len(plane)))
            del plane  # not to be in memory with the next
        samples = sample_frames(raws, sensor, bias_rows)
        usable = check_flat_frames(samples, recipe.bias.frames)
        usable = {qid: frames.without(unnamed, "has no LED number") for qid, frames in usable.items()}
        require_usable(usable, ccdid)
        levels = frame_levels(raws, bias_levels, samples, {qid: frames.indices for qid, frames in usable.items()})
        factors = np.nanmedian(levels) / levels
        stacked = {
            qid: combine(
                raws, qid, sensor, recipe.clip, chunk_bytes, bias, factors, pockets, indices=usable[qid].indices
            )
            for qid in _QIDS
        }
    norm = ccd_median({qid: s.data for qid, s in stacked.items()})
    lit = {exposure_of(raw.path.name): level for raw, level in zip(raws, levels.tolist(), strict=True) if level > 0}

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
            "LEDRMS": (
                float(np.nanstd(lamp_ratios(samples, levels))),
                "relative scatter of the lamp's light",
            ),
            **_excess_cards(stacked),
            **LampLevel(led, 1.0, norm, lit).cards(),
            **left_out_cards(usable),
            **(cards or {}),
        },
        left_out(usable),
    )


# --- small parts


def usable_biases(samples: Sequence[FrameSample], ccdid: int, recipe: BiasRecipe) -> dict[int, UsableFrames]:
    """Bias frames that serve, by qid.  BadData if none does."""
    usable = check_bias_frames(samples, recipe.frames)
    require_usable(usable, ccdid)
    return usable


def _readouts(samples: Sequence[FrameSample], qid: int) -> list[Readout | None]:
    return [sample.quadrants[qid].readout for sample in samples]


def _of_common_led(raws: Sequence[RawCcd]) -> tuple[list[RawCcd], int, list[str]]:
    """Flats whose header names their LED, that LED, and names of the others, of which nobody knows what lit them."""
    leds = {raw.led for raw in raws} - {0}
    if len(leds) > 1:
        listed = ", ".join(f"{raw.path.name}: {raw.led}" for raw in raws)
        raise BadData(f"frames of {len(leds)} LEDs where one is expected ({listed}); see how they were chosen")
    unnamed = [raw.path.name for raw in raws if not raw.led]
    if not leds:
        raise BadData(f"{', '.join(unnamed)}: no LED number in ILUM_LED, so nothing says what lit them; reject them")
    return [raw for raw in raws if raw.led], leds.pop(), unnamed


def _excess_cards(stacked: Mapping[int, Stacked]) -> dict[str, tuple[Value, str]]:
    """Measured over predicted variance of a frame, of the quadrants that are made of any."""
    return {
        f"EXCESS{qid}": (round(stack.excess, 4), f"frame's variance over the predicted, q{qid}")
        for qid, stack in stacked.items()
        if stack.count.any()
    }


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
