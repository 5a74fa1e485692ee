"""Level of a filter's flats over the whole focal plane."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

from ztf_in2p3.detrend.ccd_master import CcdMaster, card_number, read_cards
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
        return cls(ccdid, level, median)


def focal_plane(levels: Iterable[FlatLevel]) -> pa.Table:
    """Table of the levels, `ztf_in2p3.tables.FOCAL_PLANE`, with the common one in its metadata.

    FLTNORM_FP is the median over the CCDs of flat median x FLTNORM (M. Aubert, ZTF SN Ia
    meeting, Barcelona, 2024-12-09); N_CCD says over how many, since CCDs may be missing.

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
    common = float(np.median([flat.level * flat.median for flat in ordered]))
    schema = schema_of(FOCAL_PLANE).with_metadata({"FLTNORM_FP": repr(common), "N_CCD": str(len(ordered))})
    columns = {
        "ccd": ccdids,
        "level": [flat.level for flat in ordered],
        "median": [flat.median for flat in ordered],
    }
    return pa.table(columns, schema=schema)


def common_level(table: pa.Table) -> float:
    """FLTNORM_FP of a table that `focal_plane` made, ADU."""
    metadata = table.schema.metadata or {}
    if b"FLTNORM_FP" not in metadata:
        raise BadData("no FLTNORM_FP in the metadata of the focal-plane table; make it again")
    return float(metadata[b"FLTNORM_FP"])


def n_ccd_of(table: pa.Table) -> int:
    """Number of CCDs whose flats the common level is the median of; it is the focal plane's only with all of them."""
    return int((table.schema.metadata or {}).get(b"N_CCD", b"0"))
