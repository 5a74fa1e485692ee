"""Recipes from measurements of stars to zero points and response maps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Stop:
    """When an iteration is over: both conditions hold, for the error has long plateaus."""

    residual: float = 1e-8
    """Preconditioned residual, relative to that of parameters at zero."""
    change: float = 1e-6
    """Largest change of a watched parameter over `window` iterations; magnitudes."""
    window: int = 10
    """Iterations over which that change is looked at."""
    max_iterations: int = 2000
    """Iterations after which the solution is given up."""


@dataclass(frozen=True, slots=True)
class RobustRecipe:
    """How outliers are told from measurements (`ztf_in2p3.fit.robust`)."""

    clip: float = 5.0
    """Standard deviations of a measurement, where the errors are too small those that the residuals show; infinite:
    nothing is rejected."""
    variable: float = 5.0
    """Stars whose chi2 is further above the average star's than this, in standard deviations, are left out."""
    steps: int | None = None
    """Rejections in one star between two global solutions, at most; None: any number, which has the same outcome."""
    max_rounds: int = 200
    """Global solutions at most, each with new rejections."""
    draws: int = 50
    """Solutions of noise from which errors are estimated where the matrix is too large to invert; 0: no errors."""
    method: str = "auto"
    """Method of solution: direct, iterative, auto."""
    stop: Stop = field(default_factory=Stop)
    error_degree: int | None = 3
    """Degree of the polynomial in magnitude by which errors that are far from the residuals are changed, together with
    a factor for each exposure; None: they stay as they are.  Nothing is changed where nothing is rejected."""
    least_measurements: int = 3
    """A parameter with fewer is flagged."""
    least_stars: int = 3
    """The same for stars, of those that compare it with others."""
    contested: float = 0.25
    """A parameter that lost a larger part of its measurements is flagged."""
    outlier_scale: float = 0.5
    """Largest outlier expected, magnitudes: what one may add to a parameter unseen is in its error."""
    version: int = 3


@dataclass(frozen=True, slots=True)
class StarflatRecipe:
    """Response map of the focal plane (`ztf_in2p3.starflat.model`)."""

    model: Literal["simple", "zp", "color", "full"] = "full"
    """Star and map; with zero points of the exposures; with colour map; with airmass."""
    superpixels: int = 15
    """Cells of the map, along each side of a quadrant."""
    colour_cells: int = 2
    """The same of the colour map."""
    gain: bool = False
    """A gain for each quadrant and night."""
    least_dither: float = 0.25
    """Distance that stars move over the camera, in widths of a quadrant, below which exposures are no sequence."""
    largest_error: float = 0.02
    """Median error of the superpixels, magnitudes, beyond which a map corrects no measurements."""
    error_floor: float = 0.005
    """Magnitudes, in quadrature."""
    plane: Literal["auto", "remove", "keep"] = "auto"
    """A plane over the focal plane can hardly be told from zero points that follow the pointing.  "auto":
    removed unless star magnitudes or photometric nights are known."""
    photometric_sigma: float | None = None
    """Scatter of zero points within a photometric night, magnitudes; None: they are free."""
    airmass_prior: tuple[float, float] | None = None
    """Mean and standard deviation of k, mag per airmass; None: free."""
    robust: RobustRecipe = field(default_factory=RobustRecipe)
    version: int = 2


@dataclass(frozen=True, slots=True)
class PhotometricLimits:
    """Limits beyond any of which an exposure counts as non-photometric."""

    extinction: float = 0.1
    """Magnitudes fainter or brighter than the median exposure of its connected part."""
    uneven: float = 0.02
    """Scatter over the quadrants, once each quadrant's own median is taken out; magnitudes."""
    chi2: float = 2.0
    """Per measurement, rejected ones not included, in units of the median exposure's."""
    rejected: float = 0.1
    """Fraction of the measurements."""
    n_sigma: float = 3.5
    """Standard deviations of the clear exposures' own distribution, found by leaving out what is beyond, again and
    again (Burke et al. 2018, AJ 155, 41); infinite: only `extinction` counts."""


@dataclass(frozen=True, slots=True)
class UbercalRecipe:
    """Zero points of a survey (`ztf_in2p3.ubercal.model`)."""

    zero_points: Literal["quadrant", "hierarchical"] = "hierarchical"
    """Exposure + quadrant x epoch + a small residual; or free for each quadrant of each exposure."""
    residual_sigma: float = 0.005
    """Prior of that residual, magnitudes."""
    photometric_sigma: float | None = None
    """Scatter of the exposures of a hierarchical fit within a photometric night, magnitudes; None: they are free."""
    epochs: tuple[float, ...] = ()
    """Dates (mjd) at which the camera changed."""
    colour: bool = False
    """A colour coefficient for each quadrant."""
    airmass: bool = False
    """An extinction coefficient for each night."""
    airmass_prior: tuple[float, float] | None = (0.1, 0.1)
    """Its mean and standard deviation, mag per airmass; None: free."""
    error_floor: float = 0.005
    """Magnitudes, in quadrature."""
    held_out: float = 0.1
    """Fraction of the stars kept out of the fit, to measure the repeatability."""
    photometric: PhotometricLimits = field(default_factory=PhotometricLimits)
    uneven_exposures: Literal["free", "leave out", "keep"] = "free"
    """Exposures through uneven clouds, by the limits of `photometric`: their quadrants' residuals are free; or they
    count next to nothing, and have zero points all the same; or nothing is done."""
    robust: RobustRecipe = field(default_factory=RobustRecipe)
    version: int = 2
