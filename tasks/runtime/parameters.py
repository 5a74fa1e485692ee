"""What an operator types, as the types of the library; a typing error says what would have been right."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from inspect import Parameter
from pathlib import Path
from typing import Any

from tasks.runtime.settings import now, store_at
from ztf_in2p3.archive.files import ArchiveFiles
from ztf_in2p3.camera import Camera, camera_named
from ztf_in2p3.errors import BadData, Mistyped
from ztf_in2p3.exposure_list import ExposureList
from ztf_in2p3.identifiers import N_CCD, SKY_FILTERS, CcdExposure, Filter, ImageType
from ztf_in2p3.periods import Period
from ztf_in2p3.store import Store

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


@dataclass(frozen=True, slots=True)
class Scope:
    """The part of the survey a flow works on."""

    period: Period
    camera: Camera
    ccdids: Collection[int]
    filters: Collection[Filter]
    fields: Collection[int] | None = None
    """Numbers of the fields of the survey's grid; None: all."""
    exposures: ExposureList | None = None
    """None: all."""

    @property
    def which(self) -> dict[str, Collection]:
        """What chooses science exposures, as `tasks.inputs.selection.frames` takes it."""
        chosen = {"filters": self.filters, "ccdids": self.ccdids, "fields": self.fields, "exposures": self.exposures}
        return {name: values for name, values in chosen.items() if values is not None}

    def selected(self, files: ArchiveFiles) -> ArchiveFiles:
        """Files of the archive without those of science exposures that are not wanted; calibration frames all stay."""
        return files.chosen(self._wants)

    def _wants(self, ccd: CcdExposure) -> bool:
        return ccd.exposure.image_type is not ImageType.OBJECT or (
            (self.fields is None or ccd.exposure.field in self.fields)
            and (self.exposures is None or ccd in self.exposures)
        )


SHARED = {
    "period": (str, Parameter.empty),
    "store": (str, Parameter.empty),
    "camera": (str, "ztf"),
    "ccds": (list[int] | None, None),
    "filters": (list[str] | None, None),
    "fields": (list[int] | None, None),
    "exposures": (str | None, None),
    "workers": (int | None, None),
    "max_set_aside": (float, 0.2),
}
"""Types and defaults of the parameters of every flow that works on a `Scope`."""


def expanded(
    signature: inspect.Signature, *, without: Collection[str] = (), defaults: Mapping[str, Any] | None = None
) -> inspect.Signature:
    """Signature of a flow as an operator sees it.

    The parameters ``scope: Scope`` and ``store: Store`` of the function stand for the shared ones, which are written
    down once, in `SHARED`: period and store come first, the choice of exposures before the flow's own keywords,
    workers and max_set_aside at the end.
    """
    if Scope not in (parameter.annotation for parameter in signature.parameters.values()):
        return signature
    kinds = {"period": Parameter.POSITIONAL_OR_KEYWORD, "store": Parameter.POSITIONAL_OR_KEYWORD}
    shared = {
        name: Parameter(
            name, kinds.get(name, Parameter.KEYWORD_ONLY), annotation=of_type, default=(defaults or {}).get(name, value)
        )
        for name, (of_type, value) in SHARED.items()
        if name not in without
    }
    parameters = [
        parameter for parameter in signature.parameters.values() if parameter.annotation not in (Scope, Store)
    ]
    first = [shared.pop("period"), shared.pop("store")]
    last = [shared.pop("workers"), shared.pop("max_set_aside")]
    positional = [parameter for parameter in parameters if parameter.kind is Parameter.POSITIONAL_OR_KEYWORD]
    keywords = [parameter for parameter in parameters if parameter.kind is Parameter.KEYWORD_ONLY]
    return signature.replace(parameters=[*first, *positional, *shared.values(), *keywords, *last])


def contracted(function: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a function whose signature was `expanded`, from those that the operator gave."""
    signature = inspect.signature(function, eval_str=True)
    if Scope not in (parameter.annotation for parameter in signature.parameters.values()):
        return dict(arguments)
    shared = {name: value for name, value in arguments.items() if name in SHARED}
    try:
        scope = scope_of(
            shared["period"],
            shared["camera"],
            shared.get("ccds"),
            shared.get("filters"),
            shared.get("fields"),
            shared.get("exposures"),
        )
    except ValueError as error:
        raise Mistyped(str(error)) from None
    values = {name: value for name, value in arguments.items() if name not in SHARED}
    known = {Scope: scope, Store: store_at(shared["store"], scope.camera)}
    given = {
        parameter.name: known[parameter.annotation]
        for parameter in signature.parameters.values()
        if parameter.annotation in known
    }
    return given | values


def scope_of(
    period: str,
    camera: str,
    ccds: Iterable[int] | None,
    filters: Iterable[str] | None,
    fields: Iterable[int] | None = None,
    exposures: str | None = None,
) -> Scope:
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
    fields
        Numbers of the fields of the survey's grid; all if None.
    exposures
        File that lists them, see `ExposureList.read`; all if None.

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
    known_filters = SKY_FILTERS if filters is None else tuple(Filter(name) for name in filters)
    return Scope(Period.parse(period), camera_named(camera), ccdids, known_filters, **chosen(fields, exposures))


def chosen(fields: Iterable[int] | None, exposures: str | None) -> dict[str, Any]:
    """The fields and the exposures that are wanted, as far as they are told; a mistyped list stops the flow.

    Raises
    ------
    ValueError
        Naming the parameter, what was found and what may stand there.
    """
    wanted: dict[str, Any] = {}
    if fields is not None:
        wanted["fields"] = frozenset(fields)
        if not wanted["fields"] or min(wanted["fields"]) < 0:
            raise ValueError(
                f"fields: {sorted(wanted['fields']) or 'none given'}; expected numbers of the survey's grid, like 655"
            )
    if exposures is not None:
        try:
            wanted["exposures"] = ExposureList.read(Path(exposures).expanduser())
        except BadData as error:
            raise ValueError(f"exposures: {error}") from None
    return wanted


def require_one(night: str) -> str:
    """A night as it was typed, if it is one.  ValueError if it is several, or none."""
    period = Period.parse(night)
    if period.first != period.last:
        raise ValueError(f"night: {night} is a period of several; expected one night, YYYYMMDD")
    return night


def last_night(at: datetime | None = None) -> str:
    """The last complete night at a time, now if not given: observing at Palomar ends before 14 h UT."""
    return f"{((at or now()).astimezone(UTC) - timedelta(hours=14)).date():%Y%m%d}"
