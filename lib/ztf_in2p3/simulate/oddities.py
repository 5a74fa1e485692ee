"""Which of a night's files are odd in which harmless way, as files of the real world are.

Each oddity was seen in real headers.  None of them changes what a file says, only how, so nothing that is measured
may depend on them; every simulated night has them.  What does harm is on demand, in `ztf_in2p3.simulate.faults`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from ztf_in2p3.identifiers import N_QUADRANT, CcdExposure
from ztf_in2p3.simulate import faults, files
from ztf_in2p3.simulate.exposures import NightPlan, ObjectFrame
from ztf_in2p3.simulate.seeds import generator


class Oddity(StrEnum):
    """What is odd about a file."""

    NO_VALUE = "a card without value"
    NOT_A_NUMBER = "nan without quotes"
    DECIMAL_COMMA = "a number with a decimal comma"
    DEGREE_SIGN = "a byte that is no ASCII in a comment"
    QUOTED_NUMBER = "the exposure time and the date as text"
    TWICE = "a card that stands there twice and says the same"
    FILTER_NAME = "the filter written in another way"
    PLATE_SCALE = "XPIXELSZ, which belongs to digitised plates"
    EMPTY_DISTORTION = "CPDIS cards that name no distortion"
    HDU_ORDER = "the HDUs of a raw file in another order: AMP_ID says which is which"


_RAW_ONLY = {Oddity.HDU_ORDER}
_OTHER_CARDS = {
    Oddity.NO_VALUE: ("DARKCUR", "DARKCUR =                      / not measured"),
    Oddity.NOT_A_NUMBER: ("MOONESB", "MOONESB =                  nan / Moon excess in sky brightness V-band"),
    Oddity.DECIMAL_COMMA: ("PIXSCALE", "PIXSCALE=                 1,01 / written under a locale with a comma"),
    Oddity.DEGREE_SIGN: ("MOONILLF", "MOONILLF=                  0.0 / Moon illuminated fraction, phase in \xb0"),
}
"""Keywords that nothing is measured with, and the cards that take their place."""
_MORE_CARDS = {
    Oddity.PLATE_SCALE: (
        "XPIXELSZ=                 15.0 / pixel size (microns)",
        "YPIXELSZ=                 15.0 / pixel size (microns)",
    ),
    Oddity.EMPTY_DISTORTION: (
        "CPDIS1  = '        '           / distortion by a table",
        "CPDIS2  = '        '           / distortion by a table",
    ),
}
_FILTER_NAMES = {
    "g": ("ZTF g", "g", "ZTF_G", "zg"),
    "r": ("ZTF r", "R", "ZTF_R-band", "zr"),
    "i": ("ZTF i", "i", "ZTF_I", "zi"),
    "bi": ("OO", "none", "BI", ""),
}
_PIXEL_HDUS = range(1, 1 + 2 * N_QUADRANT)


@lru_cache(maxsize=16)
def oddities(plan: NightPlan) -> Mapping[str, tuple[Oddity, ...]]:
    """Oddities of a night's files, by their paths below the root of the tree; the others are plain.

    Each kind strikes `NightPlan.odd_share` of the files that can have it, drawn from the plan's seed, and at least one
    if any at all.
    """
    if not plan.odd_share:
        return MappingProxyType({})
    raws = [files.raw_path(ccd) for ccd in plan.ccd_exposures]
    images = [path for ccd in plan.ccd_exposures for path in _image_paths(plan, ccd)]
    struck: dict[str, list[Oddity]] = {}
    for oddity in Oddity:
        paths = raws if oddity in _RAW_ONLY else raws + images
        chances = generator(plan.seed, f"oddity {oddity.name}", plan.night.toordinal()).random(len(paths))
        for index, chance in enumerate(chances):
            if chance < plan.odd_share or index == chances.argmin():
                struck.setdefault(paths[index], []).append(oddity)
    return MappingProxyType({path: tuple(kinds) for path, kinds in struck.items()})


def _image_paths(plan: NightPlan, ccd: CcdExposure) -> list[str]:
    if not isinstance(plan.frame(ccd.exposure), ObjectFrame):
        return []
    qids = range(1, N_QUADRANT + 1)
    return [path(ccd, qid) for qid in qids for path in (files.science_path, files.mask_path)]


def make_odd(path: Path, kinds: Iterable[Oddity], plan: NightPlan, ccd: CcdExposure) -> None:
    """Write a file's oddities into it; pixels, and the sums of its data, stay as they are, byte for byte."""
    draw = generator(plan.seed, "odd file", int(ccd.exposure.filefracday), ccd.ccdid)
    for kind in kinds:
        match kind:
            case Oddity.QUOTED_NUMBER:
                for key in ("EXPTIME", "OBSMJD"):
                    faults.quote_card(path, key)
            case Oddity.TWICE:
                faults.add_cards(path, [faults.read_card(path, "EXPTIME")])
            case Oddity.FILTER_NAME:
                names = _FILTER_NAMES[ccd.exposure.filter.value.removeprefix("z")]
                faults.write_card(path, "FILTER", f"FILTER  = '{names[draw.integers(len(names))]:8}'")
            case Oddity.HDU_ORDER:
                faults.reordered(path, (0, *(int(index) for index in draw.permutation(_PIXEL_HDUS))))
            case Oddity.PLATE_SCALE | Oddity.EMPTY_DISTORTION:
                faults.add_cards(path, _MORE_CARDS[kind])
            case _:
                key, card = _OTHER_CARDS[kind]
                if not faults.write_card(path, key, card):  # raw files have what is known of amplifiers further on
                    faults.write_card(path, key, card, hdu=1)
