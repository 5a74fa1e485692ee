"""What an operator types, as the types of the library; a typing error says what would have been right."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tasks.runtime.form import require_choice, require_one
from tasks.runtime.settings import now, store_at
from ztf_in2p3.archive.files import ArchiveFiles
from ztf_in2p3.camera import Camera, camera_named
from ztf_in2p3.errors import BadData, Mistyped
from ztf_in2p3.exposure_list import ExposureList
from ztf_in2p3.identifiers import N_CCD, SKY_FILTERS, CcdExposure, Filter, ImageType
from ztf_in2p3.periods import Period
from ztf_in2p3.store import Store


@dataclass(frozen=True, slots=True)
class SurveyPart:
    """A part of the survey: nights, CCDs, filters, fields, exposures."""

    period: Period
    camera: Camera
    ccdids: Collection[int]
    filters: Collection[Filter]
    fields: Collection[int] | None = None
    """Numbers of the fields of the survey's grid; None: all."""
    exposures: ExposureList | None = None
    """Exposures that are wanted; None: all."""

    @property
    def which(self) -> dict[str, Any]:
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


@dataclass(frozen=True, slots=True)
class Scope(SurveyPart):
    """The part of the survey that a flow works on."""


@dataclass(frozen=True, slots=True)
class NightScope(SurveyPart):
    """The part of the survey that a flow works on which takes one night at a time."""


def contracted(function: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a function whose signature was `expanded`, from those that the operator gave."""
    signature = inspect.signature(function, eval_str=True)
    types = {parameter.annotation for parameter in signature.parameters.values()}
    if not types & {Scope, NightScope}:
        return dict(arguments)
    choice = {name: arguments.get(name) for name in ("ccds", "filters", "fields", "exposures")}
    try:
        period = require_one(arguments["night"]) if NightScope in types else arguments["period"]
        scope = scope_of(period, arguments["camera"], **choice)
    except ValueError as error:
        raise Mistyped(str(error)) from None
    values = {name: value for name, value in arguments.items() if name not in ("period", "night", "store")}
    of_night = NightScope(*(getattr(scope, field.name) for field in fields(scope)))
    known = {Scope: scope, NightScope: of_night, Store: store_at(arguments["store"], scope.camera)}
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
    chosen_ccds, chosen_filters = None if ccds is None else tuple(ccds), None if filters is None else tuple(filters)
    require_choice(camera, chosen_ccds, chosen_filters, fields)
    ccdids = tuple(range(1, N_CCD + 1)) if chosen_ccds is None else chosen_ccds
    known_filters = SKY_FILTERS if chosen_filters is None else tuple(Filter(name) for name in chosen_filters)
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
        require_choice("ztf", None, None, wanted["fields"])
    if exposures is not None:
        try:
            wanted["exposures"] = ExposureList.read(Path(exposures).expanduser())
        except BadData as error:
            raise ValueError(f"exposures: {error}") from None
    return wanted


def last_night(at: datetime | None = None) -> str:
    """The last complete night at a time, now if not given: observing at Palomar ends before 14 h UT."""
    return f"{((at or now()).astimezone(UTC) - timedelta(hours=14)).date():%Y%m%d}"
