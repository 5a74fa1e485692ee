"""Temperatures that the headers of raw files tell."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from ztf_in2p3.cards import number

PLAUSIBLE = (140.0, 220.0)
"""Kelvin.  The detectors are held near 173 K; a broken thermometer of ZTF's reads -7."""


@dataclass(frozen=True, slots=True)
class Temperatures:
    """Temperatures of one CCD during an exposure, kelvin; NaN where the thermometer is broken."""

    ccd: float
    head: float
    """Temperature of the cold head, which cools them all: some kelvins below, and no measure of their differences."""

    @classmethod
    def read(cls, header: Mapping[str, Any], ccdid: int) -> Self:
        """Temperatures from the primary header of a raw file."""
        return cls(_plausible(number(header, f"CCDTMP{ccdid:02d}")), _plausible(number(header, "HEADTEMP")))

    def of(self, thermometer: str) -> float:
        """What one of them reads: "ccd" or "head"; NaN for "none"."""
        return {"ccd": self.ccd, "head": self.head}.get(thermometer, math.nan)


def _plausible(kelvin: float | None) -> float:
    return kelvin if kelvin is not None and PLAUSIBLE[0] <= kelvin <= PLAUSIBLE[1] else math.nan
