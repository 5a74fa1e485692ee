"""Every number a product depends on, as frozen values with a short digest.

What does not change the numbers (threads, chunk sizes, time-outs) is no part of a recipe.
`version` is raised by hand when the code changes the numbers and no parameter does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, TypeVar, get_args, get_type_hints

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class SensorRecipe:
    """From raw ADU to linear ADU over the electronic offset."""

    overscan_columns: int = 5
    """Last columns read, the only ones nearly free of deferred charge."""
    overscan_degree: int = 3
    """Of the polynomial through the offset of the rows (3: four coefficients)."""
    overscan_clip: float = 3.0
    """Rows further than this many median absolute deviations from the fit are left out."""
    linearise: bool = True
    pocket: str = "powerlaw"
    """Model of the pocket at the end of the serial register, for nights after 2019-10-22: "powerlaw",
    "equilibrium" (measured, needs a calibration) or "none"."""
    version: int = 1


@dataclass(frozen=True, slots=True)
class BiasRecipe:
    sensor: SensorRecipe = SensorRecipe()
    last_of_night: int = 10
    """Frames used of each night, the last ones: the camera has settled by then.  0: all."""
    clip: float = 3.0
    """Rejection threshold, in standard deviations of a pixel over the frames."""
    version: int = 1


@dataclass(frozen=True, slots=True)
class LedFlatRecipe:
    """One LED's flat of a CCD, divided by its median."""

    bias: BiasRecipe = BiasRecipe()
    clip: float = 3.0
    """As for the bias."""
    version: int = 1


@dataclass(frozen=True, slots=True)
class FlatRecipe:
    """Mean over the LEDs of a filter."""

    led: LedFlatRecipe = LedFlatRecipe()
    weights: tuple[tuple[int, float], ...] = ()
    """(LED, weight) pairs; LEDs not named weigh 1."""
    version: int = 1


@dataclass(frozen=True, slots=True)
class FocalPlaneRecipe:
    """Level of the flats over the whole focal plane."""

    flat: FlatRecipe = FlatRecipe()
    version: int = 1


@dataclass(frozen=True, slots=True)
class QuadrantRecipe:
    """Detrended quadrant; bias and flat are made with one another's sensor corrections."""

    focal_plane: FocalPlaneRecipe = FocalPlaneRecipe()
    tolerance_days: int = 10
    """Furthest calibration in time that is accepted."""
    version: int = 1

    @property
    def flat(self) -> FlatRecipe:
        return self.focal_plane.flat

    @property
    def bias(self) -> BiasRecipe:
        return self.flat.led.bias

    @property
    def sensor(self) -> SensorRecipe:
        return self.bias.sensor


@dataclass(frozen=True, slots=True)
class ReferenceRecipe:
    """Which columns of the reference catalogue are kept, and under which names it is known."""

    catalogue: str = "gaia_dr3"
    epoch: float = 2016.0
    """Julian year of its positions."""
    version: int = 1


@dataclass(frozen=True, slots=True)
class PhotometryRecipe:
    """Aperture photometry of one image."""

    radii: tuple[float, ...] = (3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0)
    """Pixels."""
    background_box: int = 128
    """Pixels of a cell of the background's mesh; cut down to the image where that is smaller."""
    isolation_arcsec: float = 20.0
    """A star with no other catalogue star within this distance is isolated."""
    detection_sigma: float = 5.0
    """Threshold where sources are detected rather than taken from a reference catalogue."""
    version: int = 2


@dataclass(frozen=True, slots=True)
class CatalogueRecipe:
    """Aperture catalogue of a CCD exposure, detrended on the fly."""

    quadrant: QuadrantRecipe = QuadrantRecipe()
    photometry: PhotometryRecipe = PhotometryRecipe()
    reference: ReferenceRecipe = ReferenceRecipe()
    version: int = 1


@dataclass(frozen=True, slots=True)
class ScienceCatalogueRecipe:
    """Aperture catalogue of the archive's own science images."""

    photometry: PhotometryRecipe = PhotometryRecipe()
    reference: ReferenceRecipe | None = field(default_factory=ReferenceRecipe)
    """None: sources are detected."""
    version: int = 1


@dataclass(frozen=True, slots=True)
class ReportRecipe:
    """A night's report."""

    catalogue: CatalogueRecipe = CatalogueRecipe()
    truth: str = ""
    """Digest of the plan of a simulated survey to compare with; empty for the real one."""
    radius: float = 6.0
    """Pixels; of the aperture that is compared with the truth."""
    version: int = 1


def canonical(recipe: object) -> str:
    """One text for one recipe, whatever the order in which it was written down."""
    return json.dumps([type(recipe).__name__, asdict(recipe)], sort_keys=True)  # type: ignore[call-overload]


def digest(recipe: object) -> str:
    """Short name of a recipe.  It covers the recipes nested in it, so that a new bias makes a
    new quadrant without anyone having to remember to ask for one."""
    return hashlib.sha256(canonical(recipe).encode()).hexdigest()[:10]


def recipe_from(kind: type[R], values: Mapping[str, Any]) -> R:
    """A recipe with some of its numbers replaced, as nested mappings (a TOML file, a form) give them.

    Raises
    ------
    TypeError
        A name that the recipe does not have, or a value of another type than its default's.
    """
    recipe: Any = kind()
    known = {field.name: getattr(recipe, field.name) for field in fields(recipe)}
    strange = sorted(set(values) - set(known))
    if strange:
        raise TypeError(f"{kind.__name__} has no {', '.join(strange)}; it has {', '.join(known)}")
    optional = {name for name, hint in get_type_hints(kind).items() if type(None) in get_args(hint)}
    return replace(
        recipe,
        **{
            name: None if value is None and name in optional else _like(known[name], value, name)
            for name, value in values.items()
        },
    )


def _like(default: Any, value: Any, name: str) -> Any:
    """A value as the type of its default."""
    if is_dataclass(default) and isinstance(value, Mapping):
        return recipe_from(type(default), value)
    if isinstance(default, tuple) and isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(_like(default[0], one, name) if default else _frozen(one) for one in value)
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if type(value) is not type(default):
        raise TypeError(f"{name} = {value!r}: expected a value like {default!r}")
    return value


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
