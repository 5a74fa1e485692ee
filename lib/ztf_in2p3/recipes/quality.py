"""What is good enough: limits of master calibrations and of pixels, and an operator's word on a master."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QualityRecipe:
    """A master is suspect if too much of it moved since the good one before it."""

    sigma: float = 6.0
    """A pixel moved if it did by so many standard deviations of the difference."""
    most_moved: float = 0.01
    """Largest share of such pixels in a good master."""
    bias_floor: float = 0.5
    """ADU, added to the error of a pixel: what the detector itself changes by from one master to the next."""
    flat_floor: float = 0.002
    """The same for flats, relative to the CCD's median."""
    version: int = 1


@dataclass(frozen=True, slots=True)
class OperatorsWord:
    """What a person decided about a master, over the verdict of the comparison."""

    quality: str
    """"good" or "rejected"."""
    reason: str
    """Why, in words."""


@dataclass(frozen=True, slots=True)
class BadPixelRecipe:
    """Limits between good pixels and bad ones, each against the 15 x 15 pixels around it."""

    dead: float = 0.05
    """Response below it, relative to the neighbourhood."""
    low: float = 0.7
    """Response below it is low, relative to the neighbourhood."""
    high: float = 1.3
    """Response above it is high."""
    hot_sigma: float = 8.0
    """Bias over the neighbourhood, in robust standard deviations of all pixels."""
    noisy_sigma: float = 8.0
    """Scatter over the bias frames, in standard deviations of that of a usual pixel (`detrend.bad_pixels`)."""
    version: int = 1
