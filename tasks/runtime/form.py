"""What an operator may type: type, default, meaning and limits of the parameters that flows share.

The command line, the orchestrator's forms and the flows themselves read it here.  Nothing heavy is imported, so that a
command's help and the answer to a typing error cost no more than a look.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from inspect import Parameter
from typing import Any, TypedDict, get_args, get_type_hints

from ztf_in2p3.camera import CAMERAS, camera_named
from ztf_in2p3.identifiers import N_CCD, SKY_FILTERS
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
    "fields": "Numbers of fields of the survey's grid, 655; all if not given.",
    "exposures": "File that lists the exposures wanted (CSV, Parquet, FITS, ECSV, VOTable or one a line): filefracday "
    "YYYYMMDDFFFFFF or file names, with or without ccdid; all if not given.",
    "recipe": "Every number the products depend on.",
    "truth": "Folder of a simulated survey to compare with.",
    "workers": "Processes that compute; 0: none but this one; one a core if not given.",
    "max_set_aside": "Fraction of the inputs that may be set aside before the flow fails.",
}
"""Meanings of the parameters that flows share; a flow's own docstring goes first."""


class OfCcds(TypedDict, total=False):
    """Parameters of every flow that works on a `Scope`, beside nights and store; their meanings are above."""

    camera: str
    ccds: list[int] | None
    workers: int | None
    max_set_aside: float


class OfFilters(OfCcds, total=False):
    """Parameters of flows that work on calibration frames or on tables."""

    filters: list[str] | None


class OfExposures(OfCcds, total=False):
    """Parameters of flows whose filter is fixed, or to which the filter is all one."""

    fields: list[int] | None
    exposures: str | None


class Shared(OfFilters, OfExposures, total=False):
    """Parameters of flows that select exposures of the sky."""


DEFAULTS = {
    "camera": "ztf",
    "ccds": None,
    "filters": None,
    "fields": None,
    "exposures": None,
    "workers": None,
    "max_set_aside": 0.2,
}
"""Values of the shared parameters where a flow has no others, in the order of the form."""

STANDING_FOR_SHARED = ("Scope", "NightScope", "Store")
"""Types of a flow's own parameters that stand for nights and store."""

OUTSIDE = ("archive", "images", "table")
"""Parameters that name data outside the store, where they are given: the store may be a new one."""

LIMITS: dict[str, dict[str, Any]] = {
    "period": {"pattern": r"^\d{4}-?\d\d-?\d\d(_\d{4}-?\d\d-?\d\d)?$"},
    "night": {"pattern": r"^\d{4}-?\d\d-?\d\d$"},
    "camera": {"enum": list(CAMERAS)},
    "ccds": {"items": {"minimum": 1, "maximum": N_CCD}, "minItems": 1},
    "filters": {"items": {"enum": [str(filter) for filter in SKY_FILTERS]}, "minItems": 1},
    "fields": {"items": {"minimum": 0}, "minItems": 1},
    "workers": {"minimum": 0},
    "look_back": {"minimum": 0},
    "max_set_aside": {"minimum": 0.0, "maximum": 1.0},
}
"""What JSON schemas say about values that may stand in a form."""


def documented(text: str, names: Iterable[str]) -> str:
    """Docstring of a flow with the meaning of each of its parameters, for the command line and the form."""
    outline, _, described = text.partition("Parameters\n----------\n")
    known = meanings(text)
    shared = [f"{name}\n    {MEANINGS[name]}" for name in names if name not in known]
    return "\n".join(
        [outline.rstrip(), "", "Parameters", "----------", *filter(None, [described.rstrip()]), *shared, ""]
    )


def meanings(docstring: str) -> dict[str, str]:
    """What a docstring says of each parameter."""
    section = docstring.partition("Parameters\n----------\n")[2]
    return {name: " ".join(text.split()) for name, text in re.findall(r"^(\w+)\n((?:    .*\n?)+)", section, re.M)}


def expanded(signature: inspect.Signature, defaults: Mapping[str, Any] | None = None) -> inspect.Signature:
    """Signature of a flow as an operator sees it.

    The parameters ``scope: Scope`` (or ``NightScope``), ``store: Store`` and ``**shared: Unpack[Shared]`` (or a part
    of it) of the function stand for the shared ones: period (or night) and store come first, the choice of exposures
    before the flow's own keywords, workers and max_set_aside at the end.
    """
    if not any(map(_stands_for_shared, signature.parameters.values())):
        return signature
    types = next(
        get_type_hints(get_args(parameter.annotation)[0])
        for parameter in signature.parameters.values()
        if parameter.kind is Parameter.VAR_KEYWORD
    )
    shared = {
        name: Parameter(name, Parameter.KEYWORD_ONLY, annotation=types[name], default=(defaults or {}).get(name, value))
        for name, value in DEFAULTS.items()
        if name in types
    }
    parameters = [parameter for parameter in signature.parameters.values() if not _stands_for_shared(parameter)]
    names = ["night" if _is_of_night(signature) else "period", "store"]
    first = [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, annotation=str) for name in names]
    last = [shared.pop("workers"), shared.pop("max_set_aside")]
    positional = [parameter for parameter in parameters if parameter.kind is Parameter.POSITIONAL_OR_KEYWORD]
    keywords = [parameter for parameter in parameters if parameter.kind is Parameter.KEYWORD_ONLY]
    return signature.replace(parameters=[*first, *positional, *shared.values(), *keywords, *last])


def _stands_for_shared(parameter: Parameter) -> bool:
    return (
        parameter.kind is Parameter.VAR_KEYWORD or getattr(parameter.annotation, "__name__", "") in STANDING_FOR_SHARED
    )


def _is_of_night(signature: inspect.Signature) -> bool:
    return any(getattr(of.annotation, "__name__", "") == "NightScope" for of in signature.parameters.values())


def from_outside(given: Mapping[str, Any]) -> bool:
    """Whether the arguments of a flow name data outside the store."""
    return any(given.get(name) for name in OUTSIDE)


def require_one(night: str) -> str:
    """A night as it was typed, if it is one.  ValueError if it is several, or none."""
    period = Period.parse(night)
    if period.first != period.last:
        raise ValueError(f"night: {night} is a period of several; expected one night, YYYYMMDD")
    return night


def require_choice(
    camera: str, ccds: Iterable[int] | None, filters: Iterable[str] | None, fields: Iterable[int] | None = None
) -> None:
    """Refuse a camera, CCDs, filters or fields that do not exist, and choices of nothing.

    Raises
    ------
    ValueError
        Naming the parameter, what was found and what may stand there.
    """
    camera_named(camera)
    chosen_ccds = None if ccds is None else list(ccds)
    wrong = [ccdid for ccdid in chosen_ccds or () if not 1 <= ccdid <= N_CCD]
    if wrong or chosen_ccds == []:
        raise ValueError(f"ccds: {wrong or 'none given'}; CCDs are numbered 1 to {N_CCD}")
    names = [str(filter) for filter in SKY_FILTERS]
    chosen_filters = None if filters is None else list(filters)
    strange = [filter for filter in chosen_filters or () if filter not in names]
    if strange or chosen_filters == []:
        raise ValueError(f"filters: {strange or 'none given'}; known: {', '.join(names)}")
    numbers = None if fields is None else sorted(set(fields))
    if numbers is not None and (not numbers or numbers[0] < 0):
        raise ValueError(f"fields: {numbers or 'none given'}; expected numbers of the survey's grid, like 655")
