"""Keywords that the reduction reads: there, of the right type, with values that can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from astropy.io import fits

from ztf_in2p3.cards import integer, number, text
from ztf_in2p3.cards import values as card_values
from ztf_in2p3.doctor.findings import Check, Result, differs, ok
from ztf_in2p3.doctor.layout import RawFrame
from ztf_in2p3.identifiers import N_CCD, N_QUADRANT, Filter, ImageType

SECONDS_BETWEEN_NAME_AND_DATE = 10.0
"""OBSMJD and the time in the file's name differ by about a second."""
_KEPT_TOGETHER = 4
"""Keywords shown of a long list."""


class Kind(StrEnum):
    """Type of a keyword's value."""

    NUMBER = "number"
    WHOLE = "whole number"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Keyword:
    """What is expected of a card."""

    name: str
    kind: Kind = Kind.NUMBER
    low: float = -np.inf
    high: float = np.inf
    """Plausible values, limits included."""
    indispensable: bool = False
    """Whether it must have a value; another may stand without, which is known of the archive."""


PRIMARY = (
    Keyword("OBSMJD", low=57_900, high=70_000, indispensable=True),
    Keyword("OBSJD", low=2_457_900, high=2_470_000),
    Keyword("EXPTIME", low=0, high=900),
    Keyword("IMGTYPE", Kind.TEXT),
    Keyword("FILTER", Kind.TEXT),
    Keyword("FILTERID", Kind.WHOLE, 0, 9),
    Keyword("FIELDID", Kind.WHOLE, 0, 999_999),
    Keyword("ILUM_LED", Kind.WHOLE, 0, 20),
    Keyword("AIRMASS", low=0.9, high=5),
    Keyword("TELRAD", low=-0.001, high=360.001),
    Keyword("TELDECD", low=-90, high=90),
    Keyword("HEADTEMP", low=100, high=300),
)
AMPLIFIER = (
    Keyword("CCD_ID", Kind.WHOLE, 1, N_CCD, indispensable=True),
    Keyword("AMP_ID", Kind.WHOLE, 0, N_QUADRANT - 1, indispensable=True),
    Keyword("GAIN", low=4, high=9),
    Keyword("READNOI", low=4, high=25),
)
SCIENCE = (
    Keyword("OBSMJD", low=57_900, high=70_000, indispensable=True),
    Keyword("EXPTIME", low=1, high=900),
    Keyword("SEEING", low=0.7, high=8),
    Keyword("INFOBITS", Kind.WHOLE, 0, 2**31),
    Keyword("MAGZP", low=22, high=29),
    Keyword("CLRCOEFF", low=-0.5, high=0.5),
    Keyword("AIRMASS", low=0.99, high=5),
    *AMPLIFIER,
    Keyword("CTYPE1", Kind.TEXT, indispensable=True),
    Keyword("CTYPE2", Kind.TEXT, indispensable=True),
    Keyword("CRVAL1", low=-0.001, high=360.001, indispensable=True),
    Keyword("CRVAL2", low=-90, high=90, indispensable=True),
    Keyword("CRPIX1", indispensable=True),
    Keyword("CRPIX2", indispensable=True),
)
_UNKNOWN = "the reader takes the value for unknown; send us the JSON report if all files are so"
_IMPLAUSIBLE = "look at the file; send us the JSON report if all files are so"


def present(headers: Sequence[tuple[str, fits.Header]], keywords: Sequence[Keyword]) -> Result:
    """Whether the headers, each with its name, have the keywords."""
    missing = [f"{key.name}{at}" for at, header in headers for key in keywords if key.name not in header]
    expected = _listed([key.name for key in keywords])
    if missing:
        return differs(f"no {_listed(missing)}", expected, "see where the value stands today, and tell us")
    return ok(f"all {len(keywords)} of {_listed([key.name for key in keywords])}", expected)


def types(headers: Sequence[tuple[str, fits.Header]], keywords: Sequence[Keyword]) -> Result:
    """Whether the reader finds numbers and texts where they should be; an empty card is neither right nor wrong."""
    wrong: list[str] = []
    kinds: list[str] = []
    notes: list[str] = []
    for at, header in headers:
        for key in keywords:
            if key.name not in header:
                continue
            value = card_values(header, key.name)[0]
            if value is None or (isinstance(value, str) and not value.strip()):
                (wrong if key.indispensable else notes).append(f"{key.name}{at} without value")
                kinds += [f"{key.name} a {key.kind}"] if key.indispensable else []
            elif _read(header, key) is None:
                wrong.append(f"{key.name}{at} = {value!r}")
                kinds.append(f"{key.name} a {key.kind}")
            elif key.kind is not Kind.TEXT and isinstance(value, str):
                notes.append(f"{key.name}{at} in quotes, {value!r}")
    if wrong:
        return differs(_listed(wrong), _listed(sorted(set(kinds))), _UNKNOWN)
    return ok("numbers and texts in their places" + (f"; {_listed(notes)}" if notes else ""))


def values(headers: Sequence[tuple[str, fits.Header]], keywords: Sequence[Keyword]) -> Result:
    """Whether the numbers can be; what is no number is left to `types`."""
    wrong, limits = [], []
    for at, header in headers:
        for key in keywords:
            value = _read(header, key)
            if value is None or isinstance(value, str) or key.low <= value <= key.high:
                continue
            wrong.append(f"{key.name}{at} = {value:g}")
            limits.append(f"{key.name} {key.low:g} to {key.high:g}")
    if wrong:
        return differs(_listed(wrong), _listed(sorted(set(limits))), _IMPLAUSIBLE)
    return ok("plausible")


def _read(header: fits.Header, key: Keyword) -> str | float | None:
    """What the reader of all headers takes the card for; None if it is unknown to it."""
    match key.kind:
        case Kind.TEXT:
            return text(header, key.name)
        case Kind.WHOLE:
            return integer(header, key.name)
        case _:
            return number(header, key.name)


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _KEPT_TOGETHER
    return ", ".join(names[:_KEPT_TOGETHER]) + (f" and {more} more" if more > 0 else "")


# --- keywords of a raw frame


def _raw_headers(frame: RawFrame) -> list[tuple[str, fits.Header]]:
    return [("", frame.file.primary)]


def _amplifier_headers(frame: RawFrame) -> list[tuple[str, fits.Header]]:
    return [(f" of HDU {hdu.place}", hdu.header) for hdu in frame.file.hdus[1:5]]


def _keywords(frame: RawFrame) -> tuple[Keyword, ...]:
    if frame.ccd.exposure.image_type is ImageType.FLAT:
        return PRIMARY
    return tuple(key for key in PRIMARY if key.name != "ILUM_LED")


def identity(frame: RawFrame) -> Result:
    """Image type and CCD as the file's name says."""
    kinds = {ImageType.OBJECT: "object", ImageType.BIAS: "bias", ImageType.FLAT: "flat", ImageType.DARK: "dark"}
    expected = {"IMGTYPE": kinds[frame.ccd.exposure.image_type], "CCD_ID": str(frame.ccd.ccdid)}
    ccdids = {text(header, "CCD_ID") or expected["CCD_ID"] for _, header in _amplifier_headers(frame)}
    stated = {
        "IMGTYPE": (text(frame.file.primary, "IMGTYPE") or expected["IMGTYPE"]).lower(),
        "CCD_ID": " and ".join(sorted(ccdids)),
    }
    observed = f"{stated['IMGTYPE']}, CCD {stated['CCD_ID']}"
    wanted = f"{expected['IMGTYPE']}, CCD {expected['CCD_ID']}"
    return (
        ok(observed, wanted)
        if stated == expected
        else differs(observed, wanted, "the name and the file disagree: tell us")
    )


def dates(frame: RawFrame) -> Result:
    """OBSMJD within seconds of the time in the file's name; OBSJD, if there, the same instant."""
    day, header = frame.ccd.exposure.filefracday, frame.file.primary
    named = frame.ccd.exposure.night.toordinal() - 678_576 + int(day[8:]) / 1e6
    mjd, jd = number(header, "OBSMJD"), number(header, "OBSJD")
    expected = f"OBSMJD within {SECONDS_BETWEEN_NAME_AND_DATE:g} s of the name's time; OBSJD = OBSMJD + 2400000.5"
    remedy = "the night of the frame is taken from its name, its time from OBSMJD: send us the JSON report"
    if mjd is None:
        return ok("no OBSMJD to compare", expected)
    late = (mjd - named) * 86400
    apart = (jd - 2_400_000.5 - mjd) * 86400 if jd is not None else 0.0
    observed = f"OBSMJD {late:+.1f} s from the name, OBSJD {apart:+.1f} s from OBSMJD"
    right = abs(late) <= SECONDS_BETWEEN_NAME_AND_DATE and abs(apart) < 1
    return ok(observed, expected) if right else differs(observed, expected, remedy)


def lamp(frame: RawFrame) -> Result:
    """The LED of a flat is one of its filter's; no other frame has one that shines."""
    value, kind = integer(frame.file.primary, "ILUM_LED"), frame.ccd.exposure.image_type
    filter_ = frame.ccd.exposure.filter
    if kind is ImageType.FLAT:
        leds = filter_.leds or tuple(led for band in (Filter.ZG, Filter.ZR, Filter.ZI) for led in band.leds)
        expected = f"ILUM_LED one of {', '.join(map(str, leds))} in {filter_}"
        remedy = "the flats of a filter are combined by LED: say which LEDs shine in it today"
        return ok(f"LED {value}", expected) if value in leds else differs(f"LED {value}", expected, remedy)
    if value in (None, 0):
        return ok("no LED", "no LED")
    return differs(f"LED {value}", "no LED", "is this frame illuminated? Send us the JSON report")


CHECKS: tuple[Check[RawFrame], ...] = (
    Check("keywords", lambda frame: present(_raw_headers(frame), _keywords(frame))),
    Check("keyword types", lambda frame: types(_raw_headers(frame), _keywords(frame))),
    Check("keyword values", lambda frame: values(_raw_headers(frame), _keywords(frame))),
    Check("amplifier keywords", lambda frame: present(_amplifier_headers(frame), AMPLIFIER), ("HDU order",)),
    Check("amplifier types", lambda frame: types(_amplifier_headers(frame), AMPLIFIER), ("HDU order",)),
    Check("amplifier values", lambda frame: values(_amplifier_headers(frame), AMPLIFIER), ("HDU order",)),
    Check("identity", identity),
    Check("dates", dates),
    Check("lamp", lamp, ("keywords", "keyword types", "keyword values")),
)
