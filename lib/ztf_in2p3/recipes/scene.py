"""Recipes from stars to a PSF, from stamps to a light curve."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PsfRecipe:
    """PSF of a quadrant exposure (`ztf_in2p3.psf.fit`)."""

    order: int = 2
    """Degree of the polynomials in x and y that the profile's width and ellipse follow over the quadrant: 0
    (constant), 1 or 2.  Squares need 150 stars: with fewer they cost more than they give, and are left out."""
    map_order: int = 1
    """Degree in x and y of the residual map, 0 or 1, where 150 stars show it; otherwise it is the same everywhere."""
    spacing: float = 0.22
    """Distance of the finest coefficients of the residual map, in FWHM of the profile."""
    min_spacing: float = 0.4
    """The least of it, pixels: of a finer map the sum over pixels depends on where a star lies on them (by 9 mmag for
    a real quadrant of FWHM 0.94 pixel and 0.21 pixel, by 1.8 for 0.4)."""
    ridge: float = 1e-7
    """Added to the diagonal of the map's normal matrix, of its mean."""
    clip: float = 5.0
    """Stars whose residual is off by this many median absolute deviations are left out."""
    model_error: float = 0.03
    """The same as in `measure_stars`."""
    soft: float = 0.1
    """A pixel weighs 1 / (P / P0 + soft), P the PSF there and P0 its peak: the wings, which differ less from star to
    star, count more than with flat weights, and fluxes stay linear."""
    star_error: float = 0.005
    """Fraction of the flux, added to a star's error for its weight in the fit: no few stars decide."""
    max_peak: float = 0.3
    """Highest pixel of the stars it is fitted to, in units of full well."""
    margin: int = 4
    """Pixels at each edge of the stamps that serve to know the wings, not to measure stars.  Without them the light
    of a host of 16.5 mag costs a supernova of 19 mag 0.3 mmag."""
    most_stars: int = 400
    """Stars to which the PSF is fitted, over the whole field."""
    passes: int = 3
    """Passes over the stars for the residual map."""
    min_stars: int = 5
    """Fewest stars that make a PSF."""
    version: int = 4


@dataclass(frozen=True, slots=True)
class SceneRecipe:
    """Fit of all exposures of a source (`ztf_in2p3.scene.fit`)."""

    step: float = 1.0
    """Pixels between nodes of the galaxy: a multiple of 1/4, at most 1."""
    margin: float = 2.0
    """Pixels by which the nodes reach beyond the stamps."""
    ridge: float = 1e-5
    """Added to the diagonal of the galaxy's normal matrix, of its mean."""
    clip: float = 5.0
    """Pixels further off the model than this many standard deviations are rejected."""
    model_error: float = 0.03
    """Fraction of the model's light, added to a pixel's standard deviation for rejection only: a PSF that is a little
    wrong must not cost bright stars their centres."""
    min_coverage: float = 0.7
    """Smallest fraction of the PSF's squared sum within the good pixels, for the flux of an exposure to be measured."""
    position_error: float = 1.0
    """Pixels; prior of the position along each axis."""
    soft: float = 0.1
    """The same as of `PsfRecipe`: what a PSF lacks cancels between stars and source if both are weighed the same."""
    rounds: int = 12
    """Most passes over all exposures."""
    version: int = 3
