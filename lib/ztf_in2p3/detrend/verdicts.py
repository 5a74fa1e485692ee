"""What is thought of a master calibration: the verdict of its comparison, or an operator's word over it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ztf_in2p3.identifiers import N_CCD, CcdExposure
from ztf_in2p3.periods import Period
from ztf_in2p3.products import ProductRef, part_of, period_of
from ztf_in2p3.recipes import OperatorsWord

GOOD, SUSPECT, REJECTED = "good", "suspect", "rejected"


@dataclass(frozen=True, slots=True)
class Ruling:
    """An operator's word, and the masters that it is about."""

    kind: str
    """"bias" or "flat"."""
    period: Period
    part: str
    """``c03`` or ``zg/c03``; empty: all of the period."""
    word: OperatorsWord

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Self:
        """Read a table of the operator's file.  ValueError if it is not complete."""
        if not isinstance(entry, Mapping):
            raise ValueError(f"verdict {entry!r}: no table; expected [[verdict]] with kind, period, quality, reason")
        known = {"kind", "period", "part", "quality", "reason"}
        lacking = sorted(known - {"part"} - set(entry))
        strange = sorted(set(entry) - known)
        if lacking or strange:
            raise ValueError(f"verdict {dict(entry)}: lacks {lacking}, unknown {strange}; expected {sorted(known)}")
        if entry["quality"] not in (GOOD, REJECTED):
            raise ValueError(f"verdict {dict(entry)}: quality {entry['quality']!r}; expected {GOOD!r} or {REJECTED!r}")
        word = OperatorsWord(entry["quality"], entry["reason"])
        return cls(str(entry["kind"]), Period.parse(str(entry["period"])), entry.get("part", ""), word)

    def is_about(self, master: ProductRef) -> bool:
        """Whether the ruling is about this master."""
        return master.kind == self.kind and period_of(master) == self.period and self.part in ("", part_of(master))


@dataclass(frozen=True, slots=True)
class Rejection:
    """A raw exposure that an operator does not want used."""

    exposure: str
    """Its `filefracday`, 14 digits."""
    ccdids: tuple[int, ...]
    """Empty: all."""
    reason: str

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Self:
        """Read a table of the operator's file.  ValueError if it is not complete."""
        lacking = sorted({"exposure", "reason"} - set(entry))
        strange = sorted(set(entry) - {"exposure", "ccds", "reason"})
        if lacking or strange:
            raise ValueError(f"rejected {dict(entry)}: lacks {lacking}, unknown {strange}")
        exposure, ccdids = str(entry["exposure"]), entry.get("ccds", [])
        if not (len(exposure) == 14 and exposure.isdigit()):
            raise ValueError(
                f"rejected {dict(entry)}: exposure {exposure!r}; expected the 14 digits of its file's name"
            )
        if not (isinstance(ccdids, list) and all(isinstance(ccd, int) and 1 <= ccd <= N_CCD for ccd in ccdids)):
            raise ValueError(f"rejected {dict(entry)}: ccds {ccdids!r}; expected a list of numbers from 1 to {N_CCD}")
        return cls(exposure, tuple(ccdids), str(entry["reason"]))

    def is_about(self, ccd: CcdExposure) -> bool:
        """Whether a CCD exposure is rejected."""
        return ccd.exposure.filefracday == self.exposure and (not self.ccdids or ccd.ccdid in self.ccdids)


def rejections(text: str) -> tuple[Rejection, ...]:
    """Raw exposures that the operator's file rejects, ``[[rejected]]`` tables.  ValueError as `rulings`."""
    return tuple(Rejection.of(entry) for entry in tomllib.loads(text).get("rejected", []))


def rulings(text: str) -> tuple[Ruling, ...]:
    """Read the operator's file, TOML of ``[[verdict]]`` tables; the later ones go over the earlier ones.

    Raises
    ------
    ValueError
        What is wrong with it.
    """
    entries = tomllib.loads(text).get("verdict", [])
    if not isinstance(entries, list):
        raise ValueError(f"verdict = {entries!r}; expected tables [[verdict]]")
    return tuple(Ruling.of(entry) for entry in entries)


def write_verdict(path: Path, quality: str, reason: str = "", unfit: Mapping[int, str] | None = None) -> None:
    """JSON of no more than what matters to those who use the master; `unfit`: why a quadrant does not serve, by qid.

    What a good master was compared with is left out, so that the verdict of one stays the same
    file, and what was made with it need not be made again, when another predecessor appears.
    """
    content: dict[str, Any] = {"quality": quality, "reason": reason} if quality != GOOD else {"quality": quality}
    if unfit:
        content["unfit"] = {f"q{qid}": why for qid, why in sorted(unfit.items())}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
