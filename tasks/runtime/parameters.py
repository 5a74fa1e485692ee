"""What an operator types, as the types of the library; a typing error says what would have been right."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import timedelta

from tasks.runtime.settings import now
from ztf_in2p3.camera import Camera, camera_named
from ztf_in2p3.identifiers import N_CCD, SKY_FILTERS, Filter
from ztf_in2p3.periods import Period

MEANINGS = {
    "period": "Nights wanted: 20190405, or 20190401_20190430.",
    "night": "UT date, 20190405.",
    "store": "Folder or s3://bucket/prefix with the products.",
    "archive": "Address of the archive, or a folder in its layout.",
    "reference": "Folder or s3://bucket/prefix of the reference catalogue, partitioned by HEALPix pixel.",
    "camera": "ztf, or the tiny one of the simulated survey.",
    "ccds": "CCD numbers, 1 to 16; all if not given.",
    "filters": "zg, zr, zi; all if not given.",
    "recipe": "Every number the products depend on.",
    "truth": "Folder of a simulated survey to compare with.",
    "workers": "Processes that compute; 0: none but this one; one a core if not given.",
    "max_set_aside": "Fraction of the inputs that may be set aside before the flow fails.",
}
"""Of the parameters that flows share; a flow's own docstring goes first."""


def documented(function: Callable[..., object]) -> str:
    """Docstring of a flow with the meaning of every parameter, for the command line and the form."""
    text = inspect.getdoc(function) or ""
    told, _, own = text.partition("Parameters\n----------\n")
    names = [name for name in inspect.signature(function).parameters if name not in meanings(text)]
    shared = [f"{name}\n    {MEANINGS[name]}" for name in names]
    return "\n".join([told.rstrip(), "", "Parameters", "----------", *filter(None, [own.rstrip()]), *shared, ""])


def meanings(docstring: str) -> dict[str, str]:
    """What a docstring says of each parameter."""
    section = docstring.partition("Parameters\n----------\n")[2]
    return {name: " ".join(text.split()) for name, text in re.findall(r"^(\w+)\n((?:    .*\n?)+)", section, re.M)}


@dataclass(frozen=True, slots=True)
class Scope:
    """The part of the survey a flow works on."""

    period: Period
    camera: Camera
    ccdids: Collection[int]
    filters: Collection[Filter]


def scope_of(period: str, camera: str, ccds: Iterable[int] | None, filters: Iterable[str] | None) -> Scope:
    """Parse and check.

    Parameters
    ----------
    period
        ``20190405``, ``2019-04-05`` or ``20190401_20190430``.
    camera
        ``ztf`` or ``tiny``.
    ccds
        1 to 16; all if None.
    filters
        ``zg``, ``zr``, ``zi``; all if None.

    Raises
    ------
    ValueError
        Naming the parameter, what was found and what may stand there.
    """
    ccdids = tuple(range(1, N_CCD + 1)) if ccds is None else tuple(ccds)
    wrong = [ccdid for ccdid in ccdids if not 1 <= ccdid <= N_CCD]
    if wrong or not ccdids:
        raise ValueError(f"ccds: {wrong or 'none given'}; CCDs are numbered 1 to {N_CCD}")
    names = [str(filter) for filter in SKY_FILTERS]
    strange = [filter for filter in filters or () if filter not in names]
    if strange or (filters is not None and not list(filters)):
        raise ValueError(f"filters: {strange or 'none given'}; known: {', '.join(names)}")
    chosen = SKY_FILTERS if filters is None else tuple(Filter(name) for name in filters)
    return Scope(Period.parse(period), camera_named(camera), ccdids, chosen)


def require_one(night: str) -> str:
    """A night as it was typed, if it is one.  ValueError if it is several, or none."""
    period = Period.parse(night)
    if period.first != period.last:
        raise ValueError(f"night: {night} is a period of several; expected one night, YYYYMMDD")
    return night


def last_night() -> str:
    """The last complete night: observing at Palomar ends before 14 h UT."""
    return f"{(now() - timedelta(hours=14)).date():%Y%m%d}"
