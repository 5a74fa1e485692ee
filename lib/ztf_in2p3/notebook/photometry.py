"""Photometry at places of one's own choice: in apertures, and with the PSF of the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ztf_in2p3.astrometry import sky_to_pixels
from ztf_in2p3.catalogue.aperture_catalogue import measure_stars
from ztf_in2p3.catalogue.apertures import fill_bad_pixels
from ztf_in2p3.catalogue.background import measure_background
from ztf_in2p3.catalogue.detect import detect_sources
from ztf_in2p3.catalogue.stars import Stars, is_inside
from ztf_in2p3.image import MaskBit
from ztf_in2p3.notebook.sky_image import SkyImage
from ztf_in2p3.psf import stars as psf_stars
from ztf_in2p3.psf.model import Psf, PsfModel
from ztf_in2p3.recipes import PhotometryRecipe, PsfCatalogueRecipe
from ztf_in2p3.scene.catalogue import measure_exposure
from ztf_in2p3.scene.inputs import ExposureImage, matrix_at, star_stamps

_PHOTOMETRY, _PSF = PhotometryRecipe(), PsfCatalogueRecipe()


def detect_stars(image: SkyImage, *, threshold: float = 5.0) -> pd.DataFrame:
    """Find the sources of an image: ra, dec (degrees), x, y (pixels), and a rough flux (ADU), the brightest first.

    Parameters
    ----------
    threshold
        Standard deviations of a pixel's noise.

    Examples
    --------
    >>> import ztf_in2p3 as ztf
    >>> stars = ztf.detect_stars(ztf.example_night().image(1))
    >>> list(stars.columns), len(stars) > 20
    (['ra', 'dec', 'x', 'y', 'flux'], True)
    """
    bad = image.bad
    background = measure_background(image.data, bad, box=_PHOTOMETRY.background_box)
    unusable = bad & ((image.mask & np.uint16(MaskBit.SATURATED)) == 0)
    above = fill_bad_pixels(image.data - background.level, ~np.isfinite(image.data))
    sources = detect_sources(above, background.rms.plane(), unusable, threshold=threshold)
    ra, dec = image.wcs.all_pix2world(sources.x, sources.y, 0)
    table = pd.DataFrame({"ra": ra, "dec": dec, "x": sources.x, "y": sources.y, "flux": sources.flux})
    return table.sort_values("flux", ascending=False, kind="stable", ignore_index=True)


def aperture_photometry(
    image: SkyImage, ra: ArrayLike, dec: ArrayLike, radii: Sequence[float] = _PHOTOMETRY.radii
) -> pd.DataFrame:
    """Measure the flux in circles around places on the sky, over the background of the image.

    Parameters
    ----------
    ra, dec : (place,), degrees
    radii
        Pixels.

    Returns
    -------
    A row a place: ra, dec, x, y, and for each radius, such as 4, ``flux_4`` and ``error_4`` (ADU), and ``flag_4``
    (16 cut by the border, 32 holds bad pixels, 64 holds nothing else).  Beyond the image everything is NaN.

    Examples
    --------
    >>> import ztf_in2p3 as ztf
    >>> night = ztf.example_night()
    >>> truth = night.stars.query("qid == 1").nlargest(10, "flux")
    >>> table = ztf.aperture_photometry(night.image(1), truth["ra"], truth["dec"], radii=[4, 8])
    >>> list(table.columns[-3:])
    ['flux_8', 'error_8', 'flag_8']
    >>> bool((table["flux_8"] > table["flux_4"]).all())
    True
    """
    places = _places(image, ra, dec)
    rows = np.flatnonzero(is_inside(places.x, places.y, image.data.shape))
    columns = {"ra": places.ra, "dec": places.dec, "x": places.x, "y": places.y}
    masked = detect_stars(image)  # the sky is measured beside every star, not only beside those asked for
    known = _places(image, np.append(places.ra[rows], masked["ra"]), np.append(places.dec[rows], masked["dec"]))
    nothing = known.take(np.zeros(len(known.x), bool))
    recipe = replace(_PHOTOMETRY, radii=tuple(float(radius) for radius in radii))
    _, measured = measure_stars(image.data, image.variance, image.bad, known, nothing, recipe)
    for k, radius in enumerate(recipe.radii):
        for name, values in (("flux", measured.flux), ("error", measured.error), ("flag", measured.flag)):
            column = np.full(len(places.x), np.nan)
            column[rows] = values[: len(rows), k]
            columns[f"{name}_{radius:g}"] = column
    return pd.DataFrame(columns)


@dataclass(frozen=True, slots=True, eq=False)
class ImagePsf:
    """The PSF of an image, which changes over it.

    >>> import ztf_in2p3 as ztf
    >>> ztf.fit_psf(ztf.example_night().image(1))
    ImagePsf of ztf_20190405250000_000601_zr_c03_o_q1_sciimg.fits: FWHM ... pixels, from ... stars
    """

    image: SkyImage
    model: PsfModel
    stars: pd.DataFrame
    """Stars that it was fitted to or measured with: ra, dec, x, y, flux, error (ADU), used."""
    recipe: PsfCatalogueRecipe = _PSF

    def at(self, ra: float, dec: float) -> Psf:
        """The PSF at a place on the sky (degrees)."""
        x, y = sky_to_pixels(self.image.wcs, ra, dec)
        return self.model.at(np.array([float(x), float(y)]))

    def stamp(self, ra: float, dec: float, side: int = 25) -> NDArray[np.float64]:
        """(side, side): the PSF at a place, centred, drawn on pixels; its sum is the light within."""
        return self.at(ra, dec).draw(side // 2, side // 2, (side, side))[0]

    @property
    def fwhm(self) -> float:
        """Full width at half maximum in the middle of the image, pixels."""
        return float(self.model.at(self.model.middle).fwhm)

    def __repr__(self) -> str:
        n_star = int(self.stars["used"].sum())
        return f"ImagePsf of {self.image.name}: FWHM {self.fwhm:.2f} pixels, from {n_star} stars"


def fit_psf(image: SkyImage, stars: pd.DataFrame | None = None, recipe: PsfCatalogueRecipe = _PSF) -> ImagePsf:
    """Fit the PSF of an image to its isolated stars.

    Parameters
    ----------
    stars
        All stars on the image: ra, dec (degrees), and mag, or flux in any unit, which tell the bright from the faint.
        Sources are detected if not given.

    Raises
    ------
    NoStars
        Too few isolated stars.

    Examples
    --------
    >>> import ztf_in2p3 as ztf
    >>> image = ztf.example_night().image(1)
    >>> psf = ztf.fit_psf(image)
    >>> star = psf.stars.iloc[0]
    >>> stamp = psf.stamp(star.ra, star.dec)
    >>> stamp.shape, bool(0.9 < stamp.sum() < 1.01)
    ((25, 25), True)
    """
    table = detect_stars(image) if stars is None else stars
    with np.errstate(divide="ignore", invalid="ignore"):
        mag = table["mag"] if "mag" in table else -2.5 * np.log10(table["flux"])
    places = _places(image, table["ra"], table["dec"], mag)
    exposure = _exposure(image)
    rows, columns = image.data.shape
    ra, dec = (float(angle) for angle in exposure.wcs.all_pix2world((columns - 1) / 2, (rows - 1) / 2, 0))
    scale = float(abs(np.linalg.det(matrix_at(exposure.wcs, ra, dec))) ** -0.5)
    measured = measure_exposure(exposure, places, scale, recipe)
    chosen, fluxes = measured.stars, measured.fluxes
    frame = pd.DataFrame(
        {
            "ra": chosen.ra,
            "dec": chosen.dec,
            "x": fluxes.place[:, 0],
            "y": fluxes.place[:, 1],
            "flux": fluxes.flux,
            "error": fluxes.error,
            "used": measured.used,
        }
    )
    return ImagePsf(image, measured.psf, frame, recipe)


def psf_photometry(psf: ImagePsf, ra: ArrayLike, dec: ArrayLike, *, fixed: bool = False) -> pd.DataFrame:
    """Measure the flux of point sources at places on the sky with the PSF of their image.

    Parameters
    ----------
    ra, dec : (place,), degrees
    fixed
        The places are right: forced photometry.  Otherwise each source finds its own.

    Returns
    -------
    A row a place: ra, dec, x, y (pixels, as measured), flux, error (ADU), sky (ADU a pixel), chi2 per degree of
    freedom; NaN where too few pixels are good.

    Examples
    --------
    >>> import ztf_in2p3 as ztf
    >>> psf = ztf.fit_psf(ztf.example_night().image(1))
    >>> faint = psf.stars.tail(5)
    >>> table = ztf.psf_photometry(psf, faint["ra"], faint["dec"])
    >>> bool((abs(table["flux"] / faint["flux"].to_numpy() - 1) < 0.01).all())
    True
    """
    places = _places(psf.image, ra, dec)
    stamps = star_stamps(_exposure(psf.image), places, psf.recipe.side)
    fluxes = psf_stars.measure_stars(stamps, psf.model, fixed=fixed, model_error=psf.recipe.psf.model_error)
    return pd.DataFrame(
        {
            "ra": places.ra,
            "dec": places.dec,
            "x": fluxes.place[:, 0],
            "y": fluxes.place[:, 1],
            "flux": fluxes.flux,
            "error": fluxes.error,
            "sky": fluxes.sky,
            "chi2": fluxes.chi2,
        }
    )


def _exposure(image: SkyImage) -> ExposureImage:
    return ExposureImage.of(image.image, image.header, image.wcs, image.name)


def _places(image: SkyImage, ra: ArrayLike, dec: ArrayLike, mag: ArrayLike = np.nan) -> Stars:
    """Places on the sky as stars on an image, in their order."""
    alpha, delta = np.atleast_1d(np.asarray(ra, float)), np.atleast_1d(np.asarray(dec, float))
    if alpha.shape != delta.shape or alpha.ndim != 1:
        raise ValueError(f"ra of shape {alpha.shape}, dec of shape {delta.shape}; expected two lists of one length")
    x, y = sky_to_pixels(image.wcs, alpha, delta)
    n = len(alpha)
    unknown = np.full(n, np.nan, np.float32)
    g_mag = np.broadcast_to(np.asarray(mag, np.float32), n)
    return Stars(np.arange(n), alpha, delta, np.asarray(x), np.asarray(y), np.ones(n, bool), g_mag, unknown, unknown)
