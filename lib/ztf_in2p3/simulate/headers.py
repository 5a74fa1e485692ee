"""Cards that describe an exposure, as in the headers of the survey's files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ztf_in2p3.identifiers import CcdExposure, Filter, ImageType, Quadrant
from ztf_in2p3.image import MaskBit
from ztf_in2p3.simulate import airmass as palomar
from ztf_in2p3.simulate.airmass import altitude, sidereal_time
from ztf_in2p3.simulate.exposures import FlatFrame, Frame, NightPlan, ObjectFrame, exposure_number, night_number
from ztf_in2p3.simulate.seeds import generator

IMAGE_TYPE_NAMES = {ImageType.OBJECT: "object", ImageType.BIAS: "bias", ImageType.FLAT: "flat", ImageType.DARK: "dark"}
FILTER_NAMES = {Filter.ZG: "ZTF_g", Filter.ZR: "ZTF_r", Filter.ZI: "ZTF_i", Filter.BIAS: "bi"}
FILTER_IDS = {Filter.ZG: 1, Filter.ZR: 2, Filter.ZI: 3, Filter.BIAS: 0}
BROKEN_SENSOR = 5
"""CCD whose thermometer reads -7 K, as it does in the survey's headers."""
LED_NM = {
    2: 415,
    3: 435,
    4: 470,
    5: 525,
    7: 590,
    8: 615,
    9: 660,
    10: 690,
    11: 740,
    12: 770,
    13: 850,
}
"""Wavelengths given to the flat-field LEDs: plausible ones, each within the band of its filter."""

_MASK_NAMES = {
    MaskBit.TRACK: "AIRCRAFT/SATELLITE TRACK",
    MaskBit.DETECTION: "CONTAINS SEXTRACTOR DETECTION",
    MaskBit.LOW_RESPONSE: "LOW RESPONSIVITY",
    MaskBit.HIGH_RESPONSE: "HIGH RESPONSIVITY",
    MaskBit.NOISY: "NOISY",
    MaskBit.GHOST: "GHOST FROM BRIGHT SOURCE",
    MaskBit.SPILLAGE_GHOST: "POSSIBLE GHOST FROM CHARGE SPILLAGE",
    MaskBit.RADIATION_HIT: "PIXEL SPIKE (POSSIBLE RAD HIT)",
    MaskBit.SATURATED: "SATURATED",
    MaskBit.DEAD: "DEAD (UNRESPONSIVE)",
    MaskBit.NAN: "NAN (not a number)",
    MaskBit.SOURCE: "CONTAINS PSF-EXTRACTED SOURCE POSITION",
    MaskBit.HALO: "HALO FROM BRIGHT SOURCE",
}


def utc(mjd: float) -> datetime:
    """Date and time of a modified Julian date."""
    return datetime(1858, 11, 17, tzinfo=UTC) + timedelta(days=mjd)


def exposure_cards(plan: NightPlan, ccd: CcdExposure) -> fits.Header:
    """What the telescope knew of an exposure: the primary header of a raw file."""
    frame = plan.frame(ccd.exposure)
    exposure = frame.exposure
    header = fits.Header()
    header["ORIGIN"] = ("Simulated survey", "Data origin")
    header["INSTRUME"] = ("ZTF/MOSAIC", "Instrument name")
    header["CAMERA"] = (plan.camera.name, "Simulated camera")
    header["IMGTYPE"] = (IMAGE_TYPE_NAMES[exposure.image_type], "Image type")
    header["EXPOSURE"] = (frame.exptime, "Total Exposure Time (s)")
    header["EXPTIME"] = (frame.exptime, "Requested Exposure Time (s)")
    header["CCDSUM"] = ("1 1", "CCD binning")
    header["PIXSCALE"] = (plan.camera.pixel_scale, "Pixel scale, in arcsec per pixel")
    header["FILENAME"] = (f"{ccd}.fits", "File name")
    _add_temperatures(header, plan, frame)
    header["FIELDID"] = (exposure.field, "ZTF field ID number")
    header["FILTERID"] = (FILTER_IDS[exposure.filter], "Filter ID code")
    header["FILTER"] = (FILTER_NAMES[exposure.filter], "Filter name")
    header["OBSJD"] = (round(frame.mjd + 2400000.5, 7), "Julian day corresponds to UTC-OBS (day)")
    header["OBSMJD"] = (round(frame.mjd, 7), "MJD corresponds to UTC-OBS (day)")
    led = frame.led if isinstance(frame, FlatFrame) else 0
    header["ILUM_LED"] = (led, "Flat-field LED, 0 for none")
    header["ILUMWAVE"] = (LED_NM.get(led, 0), "Wavelength of the LED (nm)")
    power = frame.level_adu / frame.exptime / 100 if isinstance(frame, FlatFrame) else 0.0
    header["ILUMPOWR"] = (round(power, 4), "Power of the LED")
    _add_pointing(header, plan, frame)
    opened = utc(frame.mjd)
    header["SHUTOPEN"] = (opened.isoformat(timespec="milliseconds")[:23], "Shutter open time")
    closed = opened + timedelta(seconds=frame.exptime)
    header["SHUTCLSD"] = (closed.isoformat(timespec="milliseconds")[:23], "Shutter close time")
    header["OBSERVAT"] = ("Palomar Observatory", "Observatory")
    header["TELESCOP"] = ("Palomar 48-inch", "Observatory telescope")
    header["OBSLON"] = (palomar.LONGITUDE, "Observatory longitude (deg)")
    header["OBSLAT"] = (palomar.LATITUDE, "Observatory latitude (deg)")
    header["OBSALT"] = (1668.0, "Observatory altitude (m)")
    header["NFRAMES"] = (8, "number of frames in FITS file")
    return header


def temperatures(plan: NightPlan, frame: Frame) -> tuple[float, NDArray[np.float64]]:
    """Temperatures of the cold head and of the 16 CCDs during an exposure, kelvin."""
    draw = generator(plan.seed, "temperatures", int(frame.exposure.filefracday))
    head = 168 + draw.normal(0, 0.05)
    usual = generator(plan.seed, "usual temperatures").uniform(170, 176, 16)
    return head, usual + draw.normal(0, 0.05, 16)


def _add_temperatures(header: fits.Header, plan: NightPlan, frame: Frame) -> None:
    head, ccds = temperatures(plan, frame)
    header["HEADTEMP"] = (round(head, 3), "Cryo cooler cold head temp (K)")
    for ccdid, kelvin in enumerate(ccds, start=1):
        read = -7.124 if ccdid == BROKEN_SENSOR else round(float(kelvin), 3)
        header[f"CCDTMP{ccdid:02d}"] = (read, f"CCD temperature {ccdid:02d} (K)")


def _add_pointing(header: fits.Header, plan: NightPlan, frame: Frame) -> None:
    """Calibration frames are taken at zenith, at a screen or at nothing."""
    sidereal = sidereal_time(frame.mjd)
    if isinstance(frame, ObjectFrame):
        ra, dec, air = frame.ra, frame.dec, frame.airmass
        elevation = float(altitude(ra, dec, frame.mjd))
    else:
        ra, dec, air, elevation = round(sidereal, 4), palomar.LATITUDE, 1.0, 90.0
    header["RAD"] = (ra, "Requested right ascension (deg)")
    header["DECD"] = (dec, "Requested declination (deg)")
    header["TELRAD"] = (ra, "Telescope right ascension (deg)")
    header["TELDECD"] = (dec, "Telescope declination (deg)")
    header["HOURANGD"] = (round(((sidereal - ra + 180) % 360 - 180) / 15, 6), "Hour angle (h)")
    header["ELVATION"] = (round(elevation, 3), "Telescope elevation (deg)")
    header["AIRMASS"] = (round(air, 4), "Airmass (Hardie)")
    header["MOONILLF"] = (0.0, "Moon illuminated fraction (frac)")
    header["MOONESB"] = (0.0, "Moon excess in sky brightness V-band")


def amplifier_cards(quadrant: Quadrant, gain: float, read_noise: float) -> fits.Header:
    """What is known of the amplifier that read a quadrant."""
    header = fits.Header()
    header["CCD_ID"] = (quadrant.ccdid, "ID value of CCD detector")
    header["AMP_ID"] = (quadrant.qid - 1, "ID value of CCD amplifier")
    header["GAIN"] = (gain, "Gain e-/adu")
    header["READNOI"] = (read_noise, "Read noise e-")
    header["DARKCUR"] = (1.0, "Dark current e-/s @ 150 K")
    return header


def archive_cards(frame: Frame, quadrant: Quadrant) -> fits.Header:
    """Numbers of the archive's data base."""
    expid = exposure_number(frame.mjd)
    header = fits.Header()
    header["CCDID"], header["QID"], header["RCID"], header["EXPID"] = quadrant.ccdid, quadrant.qid, quadrant.rcid, expid
    header["INFOBITS"] = (0, "infoBits string; bit(s) = null")
    header["STATUS"] = (1, "overall processing flag: 0 = bad; 1 = usable")
    header["DBPID"] = (processed_number(frame, quadrant), "Database processed-image ID")
    header["DBFIELD"] = (frame.exposure.field, "Database field")
    header["DBNID"] = (night_number(frame.mjd), "Database night ID")
    header["DBEXPID"] = (expid, "Database exposure ID")
    header["DBRCID"] = (quadrant.rcid, "Database readout-channel ID")
    header["DBFID"] = (FILTER_IDS[frame.exposure.filter], "Database filter ID")
    return header


def processed_number(frame: Frame, quadrant: Quadrant) -> int:
    """The archive's `pid`."""
    return exposure_number(frame.mjd) * 10**4 + quadrant.rcid * 100 + 15


def mask_cards() -> fits.Header:
    """Meaning of the bits of a mask image."""
    header = fits.Header()
    header["COMMENT"] = "bit-mask definitions:"
    for bit, name in _MASK_NAMES.items():
        number = int(np.log2(bit))
        header[f"BIT{number:02d}"] = (number, name)
    return header
