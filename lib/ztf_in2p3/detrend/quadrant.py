"""A detrended image: bias and flat of the nearest periods taken out of a raw frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ztf_in2p3.camera import Camera
from ztf_in2p3.detrend.amplifiers import CEILING_ADU, amplifier_fault
from ztf_in2p3.detrend.ccd_master import CcdMaster, corrections
from ztf_in2p3.detrend.pixels import count_bits, to_image, to_light
from ztf_in2p3.detrend.quadrant_file import kept_header
from ztf_in2p3.detrend.radiation_hits import mark_radiation_hits
from ztf_in2p3.errors import BadData
from ztf_in2p3.frames import RawCcd
from ztf_in2p3.image import Image, MaskBit, is_bad
from ztf_in2p3.products import Value
from ztf_in2p3.recipes import QuadrantRecipe
from ztf_in2p3.sensor.fringe import CcdFringes, remove_fringes
from ztf_in2p3.sensor.readout import Pockets, Readout
from ztf_in2p3.store.fits import Cards

LEAST_RESPONSE = 0.05
"""Smallest response of a pixel, relative to the CCD's median; below it counts as dead."""
FULL = 0.995
"""Share of the full well from which on a pixel is saturated: noise, and what the pocket took, lower its value."""
_ROWS = 256
"""Rows that go through all corrections at a time, while they are in the processor's cache."""
_SAMPLE = (slice(None, None, 16), slice(None, None, 4))
"""Pixels whose median serves a header card."""

_COUNTED = {
    "NSATUR": (MaskBit.SATURATED, "saturated"),
    "NDEAD": (MaskBit.DEAD, "dead"),
    "NLOWRESP": (MaskBit.LOW_RESPONSE, "of low response"),
    "NHIRESP": (MaskBit.HIGH_RESPONSE, "of high response"),
    "NNOISY": (MaskBit.NOISY, "noisy or hot"),
    "NRADHIT": (MaskBit.RADIATION_HIT, "hit by radiation"),
    "NPOCKET": (MaskBit.SWALLOWED, "that the pocket may have captured whole"),
    "NNAN": (MaskBit.NAN, "without data"),
}
"""Faults counted in the header."""


def detrend_ccd(
    path: Path,
    bias: CcdMaster,
    flat: CcdMaster,
    level: float,
    headers: Mapping[int, fits.Header],
    masks: Mapping[int, NDArray],
    camera: Camera,
    recipe: QuadrantRecipe,
    *,
    pockets: Pockets | None = None,
    bad_pixels: Sequence[Mapping[int, NDArray]] = (),
    fringes: CcdFringes | None = None,
    cards: Cards | None = None,
    failed: dict[int, str] | None = None,
) -> dict[int, tuple[Image, fits.Header]]:
    """Science images of the quadrants of one CCD exposure, in the pixel order of IPAC's; see `detrend_quadrants`.

    Masks and bad pixels are (row, column), by qid.
    """
    return {
        qid: (image, header)
        for qid, image, header in detrend_quadrants(
            path,
            bias,
            flat,
            level,
            headers,
            masks,
            camera,
            recipe,
            pockets=pockets,
            bad_pixels=bad_pixels,
            fringes=fringes,
            cards=cards,
            failed=failed,
        )
    }


def detrend_quadrants(
    path: Path,
    bias: CcdMaster,
    flat: CcdMaster,
    level: float,
    headers: Mapping[int, fits.Header],
    masks: Mapping[int, NDArray],
    camera: Camera,
    recipe: QuadrantRecipe,
    *,
    pockets: Pockets | None = None,
    bad_pixels: Sequence[Mapping[int, NDArray]] = (),
    fringes: CcdFringes | None = None,
    cards: Cards | None = None,
    failed: dict[int, str] | None = None,
) -> Iterator[tuple[int, Image, fits.Header]]:
    """Science images of the quadrants of one CCD exposure, one after the other, in the pixel order of IPAC's.

    I = (raw - bias) / flat x FLTNORM_FP / FLTNORM, raw over its offset and linear, and what the
    pocket of the serial register took put back.

    Taken one by one, they need the memory of one: masters too, if they are open files (`CcdMaster.open`).

    The variance is that of independent pixels: read noise; photons of source and sky, from the
    pixel's own value; bias and flat.  Left out, since common to whole rows or quadrants, is the
    error of the offset (0.03 ADU for ZTF).  The slope of the linearity differs from 1 by up to
    3 % only where the photons' noise is 60 times the read noise, so read noise is taken as is.

    Parameters
    ----------
    level
        FLTNORM_FP: common level of the filter's flats over the focal plane, ADU.
    headers
        IPAC's science header by qid; the quadrants to detrend are those that have one.
    masks : (row, column) by qid
        IPAC's mask images; a quadrant without one starts from zeros.
    pockets
        Measured ones, for the equilibrium model.
    bad_pixels : (row, column) by qid, each
        Masks of ours to merge with IPAC's.
    fringes
        Maps to measure and subtract the sky's fringes with; None: they are left.
    cards
        To add to the headers: which calibrations were used, how far away in days.
    failed
        Gets the reason of each quadrant that cannot be detrended, by qid; the others are detrended all the same.
        None: the first such quadrant ends it.

    Yields
    ------
    qid, image, header
        ADU at the level of the focal plane; NaN in data and variance where there are no data or
        the pixel is dead.

    Raises
    ------
    BadData
        The raw file or a mask does not fit, or a quadrant holds no sky; the message names it.
    MissingProduct
        The equilibrium model is asked for, but no pocket of a quadrant is given.
    """
    if not bias.ccdid == flat.ccdid:
        raise ValueError(f"bias of CCD {bias.ccdid} with the flat of CCD {flat.ccdid}")
    with RawCcd.open(path, camera, bias.ccdid) as raw:
        for qid in sorted(headers):
            known = [mask[qid] for mask in (masks, *bad_pixels) if qid in mask]
            try:
                image, about = _detrend_quadrant(
                    raw, qid, bias, flat, level, known, recipe, pockets=pockets, fringes=fringes
                )
            except BadData as error:
                if failed is None:
                    raise
                failed[qid] = str(error)
                continue
            yield qid, image, kept_header(headers[qid], {**about, **(cards or {})})
            del image  # not to be in memory with that of the next quadrant


def _detrend_quadrant(
    raw: RawCcd,
    qid: int,
    bias: CcdMaster,
    flat: CcdMaster,
    level: float,
    known: Iterable[NDArray],
    recipe: QuadrantRecipe,
    *,
    pockets: Pockets | None,
    fringes: CcdFringes | None,
) -> tuple[Image, dict[str, tuple[Value, str]]]:
    """Image of one quadrant and the cards that tell how it was made; `known`: masks."""
    name, camera = f"{raw.path.name}, quadrant {qid}", raw.camera
    factor = level / flat.number("FLTNORM")
    mask = _start_mask(known, camera, name)
    pixels, bias_plane, response = raw.pixels(qid), bias.data[qid], flat.data[qid]
    _require_signal(pixels, bias_plane, response, name)
    readout = Readout.of_light(raw, qid, recipe.sensor, bias_plane, pixels=pixels, pockets=pockets)
    variances = bias.variance[qid], flat.variance[qid]
    image = _detrend(pixels, readout, bias_plane, response, variances, factor, mask, camera)
    _require_sky(image, name)
    fringe_cards = _remove_fringes(image, fringes, qid, recipe, raw.path)
    if recipe.cosmic_rays:
        mark_radiation_hits(image)
    sample = response[_SAMPLE]
    middle = float(np.nanmedian(sample if np.isfinite(sample).any() else response))
    return image, {
        "BUNIT": ("adu", "unit of the pixels"),
        "GAIN": (readout.gain * middle / factor, "at the median response [e-/adu]"),
        "READNOI": (readout.read_noise * readout.gain, "read noise [e-]"),
        "SATURATE": (_full_well(readout, camera) * factor / middle, "at the median response [adu]"),
        **corrections(recipe.sensor, pocket=readout.pocket is not None),
        **fringe_cards,
        **_counts(image.mask),
        "FLTNORM": (level / factor, "level of the CCD's flat [adu]"),
        "HIERARCH FLTNORM_FP": (level, "of the focal plane [adu]"),
    }


def _require_signal(pixels: NDArray, bias: NDArray, flat: NDArray, name: str) -> None:
    """BadData where a plane holds nothing: an amplifier that does not work, or a master made of its frames."""
    for plane, what in ((bias, "master bias"), (flat, "master flat")):
        finite = np.isfinite(plane[_SAMPLE])
        if not finite.any() and not np.isfinite(plane).any():
            raise BadData(
                f"{name}: the {what} holds no pixel with data; expected an amplifier that works: leave it out"
            )
    if amplifier_fault(pixels[_SAMPLE]) and (fault := amplifier_fault(pixels)):
        raise BadData(f"{name}: the raw frame {fault}; expected an amplifier that works: leave it out")


def _require_sky(image: Image, name: str) -> None:
    """BadData where no pixel is good, or no light came."""
    good = ~is_bad(image.mask) & np.isfinite(image.data)
    if not good.any():
        counts = ", ".join(f"{count} {text}" for count, text in _counts(image.mask).values() if count)
        raise BadData(f"{name}: none of its {good.size} pixels can be used ({counts}); expected sky: leave it out")
    sample = good[_SAMPLE]
    middle = float(np.median(image.data[_SAMPLE][sample] if sample.any() else image.data[good]))
    if middle <= 0:
        raise BadData(f"{name}: the middle of its good pixels is {middle:.2f} ADU; expected sky: leave it out")


def _detrend(
    pixels: NDArray[np.float32],
    readout: Readout,
    bias: NDArray[np.float32],
    flat: NDArray[np.float32],
    variances: tuple[NDArray[np.float32], NDArray[np.float32]],
    factor: float,
    mask: NDArray[np.uint16],
    camera: Camera,
) -> Image:
    """Raw pixels become the image, in place, some rows at a time; `mask` is added to.  `variances`: bias and flat."""
    variance = np.empty_like(pixels)
    a, b = np.float32(readout.linearity.a), np.float32(readout.linearity.b)
    full, least = np.float32(FULL * _full_well(readout, camera)), np.float32(LEAST_RESPONSE)
    factors = np.float32(factor), np.float32(readout.read_noise**2), np.float32(1 / readout.gain)
    lost = np.zeros((_ROWS, pixels.shape[1]), bool)
    for start in range(0, len(pixels), _ROWS):
        rows = slice(start, start + _ROWS)
        light, marks = pixels[rows], mask[rows]
        to_light(light, readout.offset[rows], a, b, bias[rows], full, np.float32(CEILING_ADU), marks)
        if readout.recover(light, lost[: len(light)]):
            marks[lost[: len(light)]] |= np.uint16(MaskBit.SWALLOWED)
            lost[:] = False
        bias_variance, flat_variance = (plane[rows] for plane in variances)
        to_image(light, variance[rows], marks, bias_variance, flat[rows], flat_variance, *factors, least)
    return Image(pixels, variance, mask)


def _remove_fringes(
    image: Image, fringes: CcdFringes | None, qid: int, recipe: QuadrantRecipe, path: Path
) -> dict[str, tuple[Value, str]]:
    """Take the fringes out of the image, in place, and tell about it in cards."""
    if fringes is None:
        return {"FRNGCOR": (False, "fringes subtracted")}
    try:
        removed = remove_fringes(image, fringes, qid, recipe.fringe_fit)
    except BadData as error:
        raise BadData(f"{path.name}, quadrant {qid}: {error}") from error
    return {"FRNGCOR": (True, "fringes subtracted"), **removed.cards}


def _counts(mask: NDArray[np.uint16]) -> dict[str, tuple[Value, str]]:
    """How many pixels have which fault."""
    counts = dict(zip(MaskBit, count_bits(mask, len(MaskBit)).tolist(), strict=True))
    return {keyword: (counts[bit], f"pixels {name}") for keyword, (bit, name) in _COUNTED.items()}


def _start_mask(known: Iterable[NDArray], camera: Camera, where: str) -> NDArray[np.uint16]:
    """All that is known to be wrong with the pixels before they are looked at."""
    merged = np.zeros(camera.shape, np.uint16)
    for mask in known:
        if mask.shape != camera.shape:
            raise BadData(
                f"{where}: mask of shape {mask.shape}, expected {camera.shape}; is it of this camera? "
                "If so, fetch it again"
            )
        merged |= mask.astype(np.uint16, copy=False)
    return merged


def _full_well(readout: Readout, camera: Camera) -> float:
    """What a pixel holds, linear ADU of its amplifier: the camera's level is that of the nominal gain."""
    return camera.saturation * camera.gain / readout.gain
