"""Pixels that calibration frames show to be bad."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray
from scipy.special import chdtri, ndtr

from ztf_in2p3.camera import Camera
from ztf_in2p3.detrend.ccd_master import CcdMaster
from ztf_in2p3.detrend.combine import frame_scatter
from ztf_in2p3.detrend.frame_samples import sample_frames
from ztf_in2p3.detrend.masters import CHUNK_BYTES, open_all, usable_biases
from ztf_in2p3.detrend.running_median import running_median
from ztf_in2p3.errors import BadData
from ztf_in2p3.identifiers import N_QUADRANT
from ztf_in2p3.image import MaskBit
from ztf_in2p3.products import Value
from ztf_in2p3.recipes import BadPixelMapRecipe, BadPixelRecipe
from ztf_in2p3.robust_statistics import robust_sigma
from ztf_in2p3.store.fits import Cards, Plane, write_fits

_AROUND = 15
"""Pixels of the neighbourhood's side."""
_QIDS = range(1, N_QUADRANT + 1)

Masks = Mapping[int, NDArray[np.uint16]]
"""Masks by qid; (row, column) as stored, `ztf_in2p3.image.MaskBit`."""


def bad_pixels(
    bias: NDArray[np.float32],
    flat: NDArray[np.float32],
    scatter: NDArray[np.float32],
    count: NDArray[np.integer],
    limits: BadPixelRecipe,
) -> NDArray[np.uint16]:
    """Mask of one quadrant: dead, low and high response, hot (as noisy, which IPAC's bits know), noisy, without data.

    Response is relative to the pixels around, so that vignetting and the lamps do not matter; the
    bias is compared with its own column, so that the columns' pattern does not.

    Parameters
    ----------
    bias : (row, column), ADU
        Master bias.
    flat : (row, column)
        Master flat, of any normalisation.
    scatter, count : (row, column), ADU^2 and frames
        Sample variance of each pixel over the bias frames (`ztf_in2p3.detrend.combine.frame_scatter`).

    Returns
    -------
    (row, column), `ztf_in2p3.image.MaskBit`
        To be merged with IPAC's by bitwise or.
    """
    if not bias.shape == flat.shape == scatter.shape == count.shape:
        raise ValueError(f"planes of one quadrant differ in shape: {bias.shape}, {flat.shape}, {scatter.shape}")
    mask = np.zeros(bias.shape, np.uint16)
    along_column = running_median(flat, _AROUND)
    around = running_median(np.ascontiguousarray(along_column.T), _AROUND).T
    with np.errstate(divide="ignore", invalid="ignore"):
        response = flat / around
    mask[(response < limits.low) & (response >= limits.dead)] |= np.uint16(MaskBit.LOW_RESPONSE)
    mask[response > limits.high] |= np.uint16(MaskBit.HIGH_RESPONSE)
    mask[response < limits.dead] |= np.uint16(MaskBit.DEAD)
    mask[_beyond(bias - running_median(bias, _AROUND), limits.hot_sigma)] |= np.uint16(MaskBit.NOISY)
    mask[_noisy(scatter, count, limits.noisy_sigma)] |= np.uint16(MaskBit.NOISY)
    mask[~(np.isfinite(bias) & np.isfinite(flat))] |= np.uint16(MaskBit.NAN)
    return mask


def bad_pixel_masks(
    paths: Sequence[Path],
    bias: CcdMaster,
    flat: CcdMaster,
    camera: Camera,
    recipe: BadPixelMapRecipe,
    *,
    chunk_bytes: int = CHUNK_BYTES,
) -> Masks:
    """`bad_pixels` of a CCD; `paths`: the raw frames of its bias.  Errors as `master_bias`."""
    if bias.ccdid != flat.ccdid:
        raise ValueError(f"bias of CCD {bias.ccdid} with the flat of CCD {flat.ccdid}")
    of_bias, masks = recipe.bias, {}
    with open_all(paths, camera, bias.ccdid) as raws:
        usable = usable_biases(sample_frames(raws, of_bias.sensor), bias.ccdid, of_bias)
        for qid in _QIDS:
            noise = frame_scatter(raws, usable[qid].indices, qid, of_bias.sensor, of_bias.clip, chunk_bytes)
            masks[qid] = bad_pixels(bias.data[qid], flat.data[qid], *noise, recipe.limits)
    return masks


def write_masks(path: Path, masks: Masks, cards: Cards) -> dict[str, Value]:
    """One file, planes Q1 to Q4; returns how many pixels are bad, and of which sort."""
    write_fits(path, (Plane(f"Q{qid}", masks[qid]) for qid in sorted(masks)), cards)
    n_pixel = sum(mask.size for mask in masks.values())
    numbers = {
        f"n_{bit.name.lower()}": sum(int(np.count_nonzero(mask & np.uint16(bit))) for mask in masks.values())
        for bit in (MaskBit.DEAD, MaskBit.LOW_RESPONSE, MaskBit.HIGH_RESPONSE, MaskBit.NOISY, MaskBit.NAN)
        if bit.name
    }
    bad = sum(int(np.count_nonzero(mask)) for mask in masks.values())
    return {**numbers, "share": bad / n_pixel}


def read_masks(path: Path, camera: Camera) -> dict[int, NDArray[np.uint16]]:
    """Inverse of `write_masks`, by qid.  BadData if the file is none, or of another camera."""
    try:
        with fits.open(path, memmap=False) as hdus:
            masks = {qid: np.asarray(hdus[f"Q{qid}"].data, np.uint16) for qid in _QIDS}
    except (OSError, KeyError) as error:
        raise BadData(f"{path}: no bad-pixel masks Q1 to Q4 ({error}); make them again") from error
    shapes = {mask.shape for mask in masks.values()}
    if shapes != {camera.shape}:
        raise BadData(f"{path}: masks of shape {shapes}, expected {camera.shape} for camera {camera.name!r}")
    return masks


def _beyond(plane: NDArray, sigma: float) -> NDArray[np.bool_]:
    """Above the median by so many robust standard deviations."""
    known = plane[np.isfinite(plane)]
    if not known.size:
        return np.zeros(plane.shape, bool)
    middle = np.median(known)
    return plane - middle > sigma * robust_sigma(known, middle)


def _noisy(scatter: NDArray[np.float32], count: NDArray[np.integer], sigma: float) -> NDArray[np.bool_]:
    """Scatter that a usual pixel's would exceed as rarely as a Gaussian `sigma` deviations.

    Sample variances of n frames follow a chi-square of n - 1 degrees of freedom, whose scale is that of
    the median pixel.
    """
    noisy = np.zeros(scatter.shape, bool)
    for n in np.unique(count[count > 1]):
        mine = (count == n) & np.isfinite(scatter)
        scale = np.median(scatter[mine]) if mine.sum() > _AROUND**2 else np.nanmedian(scatter)
        limit = chdtri(n - 1, ndtr(-sigma)) / chdtri(n - 1, 0.5)
        noisy |= mine & (scatter > limit * scale)
    return noisy
