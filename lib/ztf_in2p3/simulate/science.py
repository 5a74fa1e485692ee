"""The archive's own product of a quadrant: a science image, detrended with perfect knowledge, and its mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ztf_in2p3.identifiers import CcdExposure, Filter, Quadrant
from ztf_in2p3.image import MaskBit
from ztf_in2p3.simulate import chain
from ztf_in2p3.simulate.exposures import NightPlan, ObjectFrame
from ztf_in2p3.simulate.flats import FlatLevels, combined_flat, star_scale
from ztf_in2p3.simulate.headers import amplifier_cards, archive_cards, exposure_cards, mask_cards
from ztf_in2p3.simulate.psf import BETA, alpha
from ztf_in2p3.simulate.wcs import astrometry, centre_pixel

DETECTION_SIGMA = 5.0
DETECTION_RADIUS = 3.0
"""Radius, in full widths at half maximum, of the mask around a detected star."""
_RAW_ONLY = ("ILUM_LED", "ILUMWAVE", "ILUMPOWR")


def science_header(plan: NightPlan, ccd: CcdExposure, qid: int, levels: FlatLevels) -> fits.Header:
    """Header of the science image: exposure, amplifier, astrometry, photometry, data base."""
    frame, quadrant = _object(plan, ccd), Quadrant(ccd.ccdid, qid)
    stage = chain.amplifier(plan, quadrant)
    header = exposure_cards(plan, ccd)
    for name in _RAW_ONLY:
        del header[name]
    header.extend(amplifier_cards(quadrant, stage.gain, stage.read_noise))
    header.extend(astrometry(plan, frame, quadrant))
    x0, y0 = (np.array([centre]) for centre in centre_pixel(plan.camera))
    scale = float(star_scale(plan, frame.exposure.filter, quadrant, levels, x0, y0)[0])
    zero_point = frame.zero_point - frame.extinction * (frame.airmass - 1) + 2.5 * np.log10(scale)
    header["MAGZP"] = (round(zero_point, 6), "Magnitude zero point at the centre [mag]")
    header["PCOLOR"] = ("r - i" if frame.exposure.filter is Filter.ZI else "g - r", "Color used with CLRCOEFF")
    header["CLRCOEFF"] = (0.0, "Linear color coeff. (stars of the band itself)")
    header["SATURATE"] = (round(plan.camera.saturation * scale, 3), "Saturation value in final science image [DN]")
    header["SEEING"] = (frame.seeing, "seeing FWHM [pixels]")
    header["MAGLIM"] = (round(limiting_magnitude(plan, frame), 2), "5-sigma mag-limit [mag]")
    header["BUNIT"] = "Data Value"
    header.extend(archive_cards(frame, quadrant))
    return header


def limiting_magnitude(plan: NightPlan, frame: ObjectFrame) -> float:
    """Magnitude of a star at 5 sigma over sky and read noise, weighted with its profile (noise area 1 / sum PSF^2)."""
    area = np.pi * alpha(frame.seeing) ** 2 * (2 * BETA - 1) / (BETA - 1) ** 2
    gain = plan.camera.gain
    noise = np.sqrt(area * (frame.sky_adu / gain + (plan.camera.read_noise / gain) ** 2))
    return float(frame.zero_point - frame.extinction * (frame.airmass - 1) - 2.5 * np.log10(5 * noise))


def science_image(
    plan: NightPlan, ccd: CcdExposure, qid: int, charge: NDArray[np.float32], levels: FlatLevels
) -> NDArray[np.float32]:
    """The charge of the raw file and its read noise, over the true flat; 0 in dead pixels; (row, column), ADU."""
    frame, quadrant = _object(plan, ccd), Quadrant(ccd.ccdid, qid)
    read = charge / np.float32(chain.amplifier(plan, quadrant).gain)
    read += chain.read_noise(plan, frame, quadrant, "read noise", read.shape)
    image = read / combined_flat(plan, frame.exposure.filter, quadrant, levels) * np.float32(levels.factor(ccd.ccdid))
    return np.nan_to_num(image, copy=False, nan=0.0)


def science_mask(plan: NightPlan, ccd: CcdExposure, qid: int, charge: NDArray[np.float32]) -> NDArray[np.int16]:
    """Bits of `ztf_in2p3.image.MaskBit` that are known of a quadrant's pixels; (row, column)."""
    frame, quadrant = _object(plan, ccd), Quadrant(ccd.ccdid, qid)
    mask = np.zeros(plan.camera.shape, np.int16)
    mask[chain.dead_pixels(plan, quadrant)] |= MaskBit.DEAD
    if plan.effects.hot_pixels:
        hot = chain.dark_rate(plan, quadrant) > 0.9 * chain.detector.HOT_RATE_E[0]
        mask[hot] |= MaskBit.NOISY | MaskBit.HIGH_RESPONSE
    if plan.effects.saturation:
        mask[charge >= np.float32(chain.full_well(plan))] |= MaskBit.SATURATED
    if plan.effects.cosmic_rays:
        mask[chain.cosmic_charge(plan, frame, quadrant) > 0] |= MaskBit.RADIATION_HIT
    _mark_stars(mask, plan, frame, quadrant)
    return mask


def _mark_stars(mask: NDArray[np.int16], plan: NightPlan, frame: ObjectFrame, quadrant: Quadrant) -> None:
    """Set the detection bit around stars whose brightest pixel stands out of the noise."""
    placed = chain.placed_stars(plan, frame, quadrant)
    gain = plan.camera.gain
    peak = placed.adu * (BETA - 1) / (np.pi * alpha(frame.seeing) ** 2)
    noise = np.sqrt(frame.sky_adu / gain + (plan.camera.read_noise / gain) ** 2)
    radius = round(DETECTION_RADIUS * frame.seeing)
    step = np.arange(-radius, radius + 1)
    disc_row, disc_column = (offset.ravel() for offset in np.meshgrid(step, step, indexing="ij"))
    inside = disc_row**2 + disc_column**2 <= radius**2
    bright = peak > DETECTION_SIGMA * noise
    row = (np.rint(placed.y[bright]).astype(int)[:, None] + disc_row[inside]).ravel()
    column = (np.rint(placed.x[bright]).astype(int)[:, None] + disc_column[inside]).ravel()
    on = (row >= 0) & (row < mask.shape[0]) & (column >= 0) & (column < mask.shape[1])
    mask[row[on], column[on]] |= MaskBit.DETECTION


def write_science(path: Path, header: fits.Header, image: NDArray[np.float32]) -> None:
    """Write a science image (row, column), ADU."""
    fits.PrimaryHDU(image, header).writeto(path)


def write_mask(path: Path, header: fits.Header, mask: NDArray[np.int16]) -> None:
    """Write a mask (row, column) with the meaning of its bits."""
    described = header.copy()
    described.extend(mask_cards())
    fits.PrimaryHDU(mask, described).writeto(path)


def _object(plan: NightPlan, ccd: CcdExposure) -> ObjectFrame:
    frame = plan.frame(ccd.exposure)
    if not isinstance(frame, ObjectFrame):
        raise ValueError(f"{ccd} looked at no sky: the archive makes science images of objects only")
    return frame
