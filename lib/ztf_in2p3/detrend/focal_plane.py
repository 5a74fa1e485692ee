"""Level of a filter's flats over the whole focal plane."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

from ztf_in2p3.detrend.ccd_master import CcdMaster, card_number, card_value, read_cards
from ztf_in2p3.detrend.lamp_light import LampLevel, relative_light
from ztf_in2p3.errors import BadData, MissingProduct
from ztf_in2p3.store.fits import Cards
from ztf_in2p3.tables import FOCAL_PLANE, schema_of


@dataclass(frozen=True, slots=True, order=True)
class FlatLevel:
    """What the focal plane needs to know of one CCD's flat."""

    ccdid: int
    level: float
    """FLTNORM: level before normalisation, ADU."""
    median: float
    """FLTMED: of the normalised flat."""
    lamps: tuple[LampLevel, ...] = field(default=(), compare=False)
    """LEDs of the flat; empty where it does not tell them."""

    @classmethod
    def of(cls, flat: CcdMaster) -> Self:
        """Level of a flat in memory."""
        return cls._of_cards(flat.ccdid, flat.cards, f"flat of CCD {flat.ccdid}")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Level from the header of a flat's file; its pixels stay where they are."""
        cards = read_cards(path)
        return cls._of_cards(int(card_number(cards, "CCDID", path)), cards, path)

    @classmethod
    def _of_cards(cls, ccdid: int, cards: Cards, of: object) -> Self:
        level, median = (card_number(cards, keyword, of) for keyword in ("FLTNORM", "FLTMED"))
        if not (0 < level < np.inf and 0 < median < np.inf):
            raise BadData(f"{of}: FLTNORM {level}, FLTMED {median}, expected both above 0; make the flat again")
        return cls(ccdid, level, median, _lamps(cards))


def focal_plane(levels: Iterable[FlatLevel], suspects: Collection[int] = ()) -> pa.Table:
    """Table of the levels, `ztf_in2p3.tables.FOCAL_PLANE`, with the common one in its metadata.

    FLTNORM_FP is the median over the CCDs of flat median x FLTNORM (M. Aubert, ZTF SN Ia
    meeting, Barcelona, 2024-12-09), each in the light of all frames that any CCD has: a CCD that lacks a frame, or a
    LED, was lit otherwise.  N_CCD says over how many CCDs, since they may be missing.

    Parameters
    ----------
    levels
        Of the flats of a filter.
    suspects
        CCDs whose flats are listed, but do not count in FLTNORM_FP.

    Raises
    ------
    BadData
        Two flats of one CCD.
    MissingProduct
        No flat at all.
    """
    ordered = sorted(levels)
    ccdids = [flat.ccdid for flat in ordered]
    if not ordered:
        raise MissingProduct("no flats to take the level of the focal plane from; make them first")
    if len(set(ccdids)) < len(ccdids):
        raise BadData(f"several flats of one CCD among CCDs {ccdids}; one of each is expected")
    counted = [flat.ccdid not in suspects for flat in ordered]
    if not any(counted):
        raise MissingProduct("no flat to take the level of the focal plane from that is not suspect; look at them")
    light = relative_light([flat.lamps for flat in ordered])
    lit = [flat.level * flat.median / of_ccd for flat, of_ccd in zip(ordered, light, strict=True)]
    common = float(np.median(np.array(lit)[counted]))
    schema = schema_of(FOCAL_PLANE).with_metadata({"FLTNORM_FP": repr(common), "N_CCD": str(sum(counted))})
    columns = {
        "ccd": ccdids,
        "level": [flat.level for flat in ordered],
        "median": [flat.median for flat in ordered],
        "light": light,
        "counted": counted,
    }
    return pa.table(columns, schema=schema)


def common_level(table: pa.Table) -> float:
    """FLTNORM_FP of a table that `focal_plane` made, ADU."""
    metadata = table.schema.metadata or {}
    if b"FLTNORM_FP" not in metadata:
        raise BadData("no FLTNORM_FP in the metadata of the focal-plane table; make it again")
    return float(metadata[b"FLTNORM_FP"])


def level_for(table: pa.Table, ccdid: int) -> float:
    """FLTNORM_FP in the light of the frames that one CCD's flat is made of, ADU: what its flat is to be brought to.

    Raises
    ------
    BadData
        The CCD is not in the table.
    """
    light = dict(zip(table["ccd"].to_pylist(), table["light"].to_pylist(), strict=True)).get(ccdid)
    if light is None:
        raise BadData(f"CCD {ccdid} is not in the focal-plane table, {table['ccd'].to_pylist()}; run calibrate again")
    return common_level(table) * float(light)


def n_ccd_of(table: pa.Table) -> int:
    """Number of CCDs whose flats the common level is the median of; it is the focal plane's only with all of them."""
    return int((table.schema.metadata or {}).get(b"N_CCD", b"0"))


def _lamps(cards: Cards) -> tuple[LampLevel, ...]:
    """LEDs of a flat, if it tells all of them."""
    if not {"LEDS", "LEDWEIGH"} <= cards.keys():
        return ()
    texts = (str(card_value(cards, keyword, "flat")) for keyword in ("LEDS", "LEDWEIGH"))
    pairs = zip(*(text.split(",") for text in texts), strict=True)
    lamps = [LampLevel.read(cards, int(led), float(weight)) for led, weight in pairs]
    known = tuple(lamp for lamp in lamps if lamp is not None)
    return known if len(known) == len(lamps) else ()
