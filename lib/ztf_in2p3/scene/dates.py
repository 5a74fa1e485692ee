"""When an image of any camera was taken, whatever the card is called."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from astropy.io import fits

from ztf_in2p3.cards import number, text

MJD_CARDS = ("OBSMJD", "MJD-OBS", "MJD-BEG", "MJDOBS", "MJD", "MJD-STR", "EXPSTART")
JD_CARDS = ("OBSJD", "JD-OBS", "JD-BEG", "JD")
DATE_CARDS = ("DATE-BEG", "DATE-OBS", "SHUTOPEN", "UTC-OBS")
TIME_CARDS = ("TIME-OBS", "UTSTART", "TIME-BEG", "UTC", "UT")
JD_OF_MJD_0 = 2400000.5
EARLIEST, LATEST = 33282.0, 88069.0
"""MJD of the years 1950 and 2100: no CCD image is of another time."""
_DATE = re.compile(r"(\d{4})[-/](\d\d?)[-/](\d\d?)(?:[T ](.+))?")
_TIME = re.compile(r"(\d\d?):(\d\d?):(\d\d?(?:\.\d*)?)Z?")


def start_of_exposure(header: fits.Header) -> float | None:
    """MJD (UTC) of the first card that tells it: a date as MJD, as JD, or a calendar date with its time of day.

    None where there is no such card, or none with a date from 1950 to 2100.
    """
    jds = [number(header, card) for card in JD_CARDS]
    candidates = [
        *(number(header, card) for card in MJD_CARDS),
        *(None if jd is None else jd - JD_OF_MJD_0 for jd in jds),
        *(_calendar_mjd(header, card) for card in DATE_CARDS),
    ]
    return next((mjd for mjd in candidates if mjd is not None and EARLIEST <= mjd <= LATEST), None)


def _calendar_mjd(header: fits.Header, card: str) -> float | None:
    """MJD of a calendar date; None without a time of day, in the same card or one of its own."""
    date = _DATE.fullmatch((text(header, card) or "").strip())
    if date is None:
        return None
    times = [date[4] or "", *(text(header, name) or "" for name in TIME_CARDS)]
    time = next(filter(None, (_TIME.fullmatch(words.strip()) for words in times)), None)
    if time is None:
        return None
    try:
        day = datetime(int(date[1]), int(date[2]), int(date[3]), int(time[1]), int(time[2]), tzinfo=UTC)
    except ValueError:  # a thirteenth month, a twenty-fifth hour
        return None
    return (day + timedelta(seconds=float(time[3])) - datetime(1858, 11, 17, tzinfo=UTC)) / timedelta(days=1)
