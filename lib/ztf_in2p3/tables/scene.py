"""PSFs, stamps and light curves."""

from __future__ import annotations

import pyarrow as pa

from ztf_in2p3.tables.column import Column
from ztf_in2p3.tables.stars import _STAR

PSF_CATALOGUE = (
    *_STAR,
    Column("f_psf", pa.float64(), "adu", "flux by the PSF, over the sky found with it"),
    Column("f_psf_e", pa.float32(), "adu", "standard deviation of the flux: photons, and flux_floor of the PSF"),
    Column("f_psf_f", pa.int16(), "", "0, or 1 where more than 5 % of the pixels were rejected or bad"),
    Column("x_psf", pa.float64(), "pix", "column where the PSF found the star"),
    Column("y_psf", pa.float64(), "pix", "row where the PSF found the star"),
    Column("x_psf_e", pa.float32(), "pix", "standard deviation of x_psf"),
    Column("y_psf_e", pa.float32(), "pix", "standard deviation of y_psf"),
    Column("width", pa.float32(), "", "by how much the star is wider than the PSF, relative, to first order"),
    Column("width_e", pa.float32(), "", "standard deviation of the width"),
    Column("chi2", pa.float32(), "", "of the pixels of the star's stamp, per degree of freedom"),
    Column("shows_psf", pa.bool_(), "", "the star is one of those that the PSF was fitted to"),
    Column("blended", pa.bool_(), "", "another star is so near and so bright that it has part of the flux"),
    Column("peak", pa.float32(), "", "highest pixel in units of full well; 0 where that is unknown"),
)
"""PSF photometry of one quadrant exposure: as the aperture catalogue, its apertures left out."""

PSF = (
    Column("shape", pa.list_(pa.float64()), "", "4 x term: ln width^2, ellipticities, ln(beta - 1); 1 x y x2 xy y2"),
    Column("middle", pa.list_(pa.float64()), "pix", "x, y from where the terms of the shape count"),
    Column("scale", pa.float64(), "pix", "unit of x and y in the terms of the shape"),
    Column("residual", pa.list_(pa.float64()), "", "cubic B-spline over the Moffat: map term (1 x y) x rows x columns"),
    Column("spacing", pa.float64(), "pix", "between the coefficients, at the middle"),
    Column("ripple", pa.list_(pa.float64()), "", "map term x 4: cos, sin of the phase along x, y in the PSF's sum"),
    Column("phase_error", pa.float64(), "", "standard deviation of that sum over the phases; alarm at 0.002"),
    Column("flux_floor", pa.float64(), "", "relative error of any flux, from the scatter of the stars' widths"),
    Column("mjd", pa.float64(), "d", "UTC of the exposure, modified Julian date"),
    Column("fwhm", pa.float64(), "pix", "of the Moffat profile at the middle"),
    Column("n_star", pa.int32(), "", "stars it was fitted to"),
    Column("radius", pa.list_(pa.float64()), "pix", "radii of the next column"),
    Column("growth", pa.list_(pa.float64()), "", "light of the stars within a radius that it lacks, over their flux"),
)
"""PSF of one quadrant exposure and its quality: one row."""

STAMP = (
    Column("mjd", pa.float64(), "d", "UTC of the exposure, modified Julian date"),
    Column("data", pa.list_(pa.float32()), "adu", "pixels, row after row; NaN beyond the image"),
    Column("bad", pa.list_(pa.bool_()), "", "pixels that are not to be used"),
    Column("corner", pa.list_(pa.int64()), "pix", "x, y of the first pixel in the image"),
    Column("place", pa.list_(pa.float64()), "pix", "x, y of the target in the image, by its WCS"),
    Column("matrix", pa.list_(pa.float64()), "pix / arcsec", "2 x 2: along x, y for an arcsecond east, north"),
    Column("variance", pa.float64(), "adu2", "of a pixel with nothing but sky"),
    Column("gain", pa.float64(), "electron / adu", "of the image"),
    Column("exptime", pa.float64(), "s", "exposure time; null: the header does not tell"),
    Column("airmass", pa.float64(), "", "according to the header; null: it does not tell"),
    Column("infobits", pa.int32(), "", "archive's quality bits of the image; null: it has none"),
)
"""A target in one exposure: one row."""

LIGHT_CURVE = (
    Column("exposure", pa.string(), "", "quadrant exposure, or image"),
    Column("band", pa.string(), "", "filter code: zg, zr, zi"),
    Column("mjd", pa.float64(), "d", "UTC of the exposure's start, modified Julian date"),
    Column("mjd_mid", pa.float64(), "d", "UTC of the exposure's middle; null: exptime is unknown"),
    Column("exptime", pa.float64(), "s", "exposure time; null: the header does not tell"),
    Column("airmass", pa.float64(), "", "according to the header; null: it does not tell"),
    Column("infobits", pa.int32(), "", "archive's quality bits of the image; null: it has none"),
    Column("flux", pa.float64(), "", "of the transient; 1 is a source of the magnitude zero_point; null: not measured"),
    Column("flux_e", pa.float64(), "", "standard deviation of the flux by itself, that of the zero point left out"),
    Column(
        "covariance", pa.list_(pa.float64()), "", "of the flux with those of all rows that have one, in their order"
    ),
    Column("quiet_flux", pa.float64(), "", "flux where it is zero by assumption, if that row alone were free of it"),
    Column("quiet_flux_e", pa.float64(), "", "standard deviation of quiet_flux"),
    Column("zero_point", pa.float64(), "mag", "magnitude of a flux of 1"),
    Column("mag", pa.float64(), "mag", "of the transient; null: its flux is below 3 flux_e"),
    Column("mag_e", pa.float64(), "mag", "standard deviation of mag, that of the zero point left out"),
    Column("limit", pa.float64(), "mag", "magnitude of a flux of 5 flux_e: upper limit where mag is null"),
    Column("throughput", pa.float64(), "adu", "of the exposure for a flux of 1, from its stars"),
    Column("throughput_e", pa.float64(), "", "relative standard deviation of it at the transient; in the covariance"),
    Column("n_star", pa.int32(), "", "stars that tell the throughput"),
    Column("fwhm", pa.float64(), "pix", "of the PSF"),
    Column("width", pa.float64(), "", "by how much the stars are wider at the transient than their PSF, corrected"),
    Column("slope", pa.float64(), "mmag / mag", "of the stars' residuals with magnitude, against their own means"),
    Column("slope_e", pa.float64(), "mmag / mag", "standard deviation of the slope"),
    Column("sky", pa.float64(), "adu", "per pixel, at the transient"),
    Column("noise", pa.float64(), "adu", "standard deviation of a pixel with nothing but sky"),
    Column("gain", pa.float64(), "electron / adu", "of the image"),
    Column("chi2", pa.float64(), "", "of the pixels"),
    Column("n_pixel", pa.int32(), "", "pixels used"),
    Column("n_rejected", pa.int32(), "", "pixels rejected by the fit"),
    Column("freedom", pa.float64(), "", "degrees of freedom of chi2, less its share of the galaxy's parameters"),
    Column("influence", pa.float64(), "", "largest change of a flux without this quiet exposure, in its errors"),
    Column("flags", pa.int32(), "", "bits of ztf_in2p3.scene.model.ExposureFlag"),
    Column("reason", pa.string(), "", "why the exposure was not used; empty if it was"),
)
"""Light curve of a target in one band: one row an exposure, in order of time.

Errors and covariance hold: photons and read noise of the pixels; galaxy, position and sky, fitted with the fluxes; the
exposure's WCS at the transient; its throughput, by the photons of its stars, each with 2 mmag more that stand for the
noise of the PSF; how the width of the PSF bends from the stars to the transient, and what single stars are wider or
narrower than that; pixels that fit poorly.  They do not hold: the zero point, common to all fluxes, whose error is in
the metadata.
"""

CURVE_STARS = (
    Column("star_id", pa.int64(), "", "identifier in the reference catalogue"),
    Column("ra", pa.float64(), "deg", "ICRS right ascension at the first exposure's epoch"),
    Column("dec", pa.float64(), "deg", "ICRS declination at the first exposure's epoch"),
    Column("mag", pa.float64(), "mag", "mean magnitude, by the zero point of the light curve"),
    Column("mag_e", pa.float64(), "mag", "standard deviation of it, relative to the other stars"),
    Column("reference", pa.float64(), "mag", "by the external catalogue; NaN if that does not tell"),
    Column("n", pa.int32(), "", "exposures"),
    Column("scatter", pa.float64(), "mag", "standard deviation of an exposure around the mean, as found"),
    Column("expected", pa.float64(), "mag", "the same from photons and read noise"),
    Column("chi2", pa.float64(), "", "of the exposures around the mean, per degree of freedom"),
    Column("sets_zero_point", pa.bool_(), "", "the star is one of those that set the zero point"),
)
"""Stars that tell the throughputs of a light curve."""
