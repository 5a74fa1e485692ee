"""Values that the numbers and words of recipes may have.

A name has one meaning in all recipes, so that limits go by the name of the field; where a name serves for two things,
the recipe is named too.  What is here is checked when a recipe is read from a file or a form, which shows it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints


@dataclass(frozen=True, slots=True)
class Bounds:
    """An interval of numbers; open where a number itself is not allowed, without end where there is none."""

    least: float | None = None
    most: float | None = None
    above: float | None = None
    """The number must be larger than this."""

    def __contains__(self, value: float) -> bool:
        return (
            (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
        )

    def __str__(self) -> str:
        parts = [
            "" if self.above is None else f"above {self.above:g}",
            "" if self.least is None else f"at least {self.least:g}",
            "" if self.most is None else f"at most {self.most:g}",
        ]
        return ", ".join(filter(None, parts))


ABOVE_ZERO, NOT_NEGATIVE, COUNT, FRACTION = Bounds(above=0), Bounds(least=0), Bounds(least=1), Bounds(0, 1)

BOUNDS = {
    **dict.fromkeys(
        (
            "clip", "most_chi2", "lamp_scatter", "residual", "change", "variable", "photometric_sigma", "extinction",
            "uneven", "chi2", "residual_sigma", "max_seeing", "radii", "detection_sigma", "sigma", "hot_sigma",
            "noisy_sigma", "noise_ratio", "sibling_noise", "bias_level", "bias_pattern", "flat_least", "lamp_ratio",
            "flat_pattern", "most_shift", "radius", "spacing", "position_error", "match_arcsec", "overscan_clip",
            "outlier_scale", "n_sigma", "light_sigma", "largest_error", "soft", "min_spacing",
        ),
        ABOVE_ZERO,
    ),
    **dict.fromkeys(
        (
            "last_of_night", "tolerance_days", "draws", "error_floor", "isolation_arcsec", "bias_floor", "flat_floor",
            "dead", "low", "high", "ridge", "model_error", "margin", "allowed_infobits", "bad_flags", "fields",
            "infobits", "flags", "bad_bits", "signal_to_noise", "isolation_mag", "error_degree",
            "least_dither", "star_error", "light_frames", "unusable",
        ),
        NOT_NEGATIVE,
    ),
    **dict.fromkeys(
        (
            "mean_from", "least_frames", "block_rows", "exposures", "spans", "cell", "components", "least_range",
            "window", "max_iterations", "steps", "max_rounds", "superpixels", "colour_cells", "max_stars", "most",
            "background_box", "most_stars", "passes", "min_stars", "rounds", "observations", "imported_rows", "cells",
            "version", "least_measurements", "least_stars", "least_light",
        ),
        COUNT,
    ),
    **dict.fromkeys(
        (
            "rejected", "held_out", "most_saturated", "least_used", "most_moved", "min_coverage", "contested",
            "max_peak", "light_share",
        ),
        FRACTION,
    ),
    "overscan_columns": Bounds(1, 30),
    "overscan_degree": Bounds(0, 10),
    "sky_degree": Bounds(0, 6),
    "side": Bounds(least=9),
    "epoch": Bounds(1900, 2100),
    "PsfRecipe.order": Bounds(0, 2),
    "map_order": Bounds(0, 1),
    "StarTableRecipe.order": Bounds(0, 6),
    "sky_order": Bounds(0, 12),
    "step": Bounds(above=0, most=1),
}  # fmt: skip
"""Bounds of numbers, and of the members of tuples."""

UNBOUNDED = frozenset(
    {
        "airmass_prior", "bias_high", "bias_low", "bright", "epochs", "faint", "first_pixel", "range",
        "region", "weights", "zero_point", "zg", "zi", "zr",
    }
)  # fmt: skip
"""Numbers of any size; recipes that have them check themselves what makes sense together."""

CHOICES = {
    "SensorRecipe.pocket": ("powerlaw", "equilibrium", "none"),
    "BiasRecipe.combine": ("auto", "mean", "median"),
    "QuadrantRecipe.choice": ("nearest", "older"),
    "RobustRecipe.method": ("auto", "direct", "iterative"),
}
"""Words that fields may have whose type does not say it."""


def bounds_of(kind: type, name: str) -> Bounds | None:
    """Interval of a field's numbers; None if it has none."""
    return BOUNDS.get(f"{kind.__name__}.{name}") or BOUNDS.get(name)


def choices_of(kind: type, name: str) -> tuple[str, ...]:
    """Words that a field may have; empty if any."""
    hint = get_type_hints(kind)[name]
    return get_args(hint) if get_origin(hint) is Literal else CHOICES.get(f"{kind.__name__}.{name}", ())


def problem_with(kind: type, name: str, value: Any) -> str:
    """What is wrong with the value of a field; empty if nothing is."""
    if (words := choices_of(kind, name)) and value not in words:
        return f"{name} = {value!r}: expected one of {', '.join(words)}"
    bounds = bounds_of(kind, name)
    outside = [number for number in _numbers(value) if bounds is not None and number not in bounds]
    return f"{name} = {value!r}: expected numbers {bounds}" if outside else ""


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, tuple):
        for member in value:
            yield from _numbers(member)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield value
