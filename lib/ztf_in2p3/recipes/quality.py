"""What is good enough: limits of calibration frames, masters and pixels, and an operator's word on a master."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FrameRecipe:
    """What a bias frame or a flat must be like to be stacked; a frame beyond a limit is left out, with the reason."""

    least_frames: int = 2
    """Frames that must be left of a quadrant of which some are left out; with fewer the quadrant is refused."""
    noise_ratio: float = 1.6
    """Largest noise of a bias frame, and of a master's frames, over what READNOI (and the photons) make."""
    sibling_noise: float = 1.3
    """Largest noise of a bias frame over that of the others."""
    most_saturated: float = 0.02
    """Largest share of full pixels."""
    bias_low: float = -20.0
    """Lowest level of a bias over its overscan, ADU."""
    bias_high: float = 300.0
    """Highest level of a bias over its overscan, ADU; 30 to 130 are usual."""
    bias_level: float = 2.0
    """ADU between two levels of bias frames: frames further up hold light."""
    bias_pattern: float = 2.0
    """ADU by which the pattern of two bias frames may differ."""
    flat_least: float = 1000.0
    """ADU of a flat over the bias: below, the lamp was off."""
    lamp_ratio: float = 1.5
    """Largest ratio of a flat's light per second to that of the others."""
    lamp_scatter: float = 0.1
    """Largest relative scatter of the flats' levels."""
    flat_pattern: float = 0.01
    """Share of the light by which the illumination of two flats may differ."""
    version: int = 1


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
    """Floor for flats, relative to the CCD's median."""
    most_shift: float = 6.0
    """Floors by which the median of a block, an eighth of a quadrant each way, may move from one master to the next."""
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
    light_frames: int = 20
    """Exposures of the sky, at most, in which pixels are looked for that are hot in long exposures only.  0: none."""
    least_light: int = 6
    """Least number of such exposures: in fewer, stars and noise stand out as often as hot pixels do."""
    light_sigma: float = 2.0
    """Excess over the sky, in standard deviations of one exposure, with which a pixel stands out."""
    light_share: float = 0.6
    """Share of the exposures in which a hot pixel stands out, at least."""
    version: int = 2
