"""Columns of every catalogue: name, type, unit, meaning.

Units are written as astropy reads them; unit and meaning travel in each field's metadata.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: pa.DataType
    unit: str
    """Empty for a pure number or a name."""
    doc: str

    @property
    def field(self) -> pa.Field:
        return pa.field(self.name, self.type, nullable=True, metadata={"unit": self.unit, "description": self.doc})


def schema_of(columns: Iterable[Column]) -> pa.Schema:
    return pa.schema([column.field for column in columns])


REFERENCE = (
    Column("source_id", pa.int64(), "", "Gaia DR3 identifier"),
    Column("ra", pa.float64(), "deg", "ICRS right ascension at the catalogue's epoch"),
    Column("dec", pa.float64(), "deg", "ICRS declination at the catalogue's epoch"),
    Column("parallax", pa.float64(), "mas", "parallax"),
    Column("pmra", pa.float64(), "mas / yr", "proper motion in right ascension, times cos(dec)"),
    Column("pmdec", pa.float64(), "mas / yr", "proper motion in declination"),
    Column("phot_g_mean_mag", pa.float32(), "mag", "mean magnitude in G"),
    Column("phot_bp_mean_mag", pa.float32(), "mag", "mean magnitude in BP"),
    Column("phot_rp_mean_mag", pa.float32(), "mag", "mean magnitude in RP"),
)
"""Columns kept of the reference catalogue, under Gaia's names."""

_STAR = (
    Column("star_id", pa.int64(), "", "identifier in the reference catalogue; -1 for a detected source"),
    Column("exposure", pa.int64(), "", "filefracday of the exposure, YYYYMMDDFFFFFF"),
    Column("field", pa.int32(), "", "field of the survey's grid"),
    Column("filter", pa.dictionary(pa.int8(), pa.string()), "", "filter code: zg, zr, zi"),
    Column("ccd", pa.int8(), "", "CCD number, 1 to 16"),
    Column("qid", pa.int8(), "", "quadrant of the CCD, 1 to 4"),
    Column("rcid", pa.int8(), "", "readout channel, 4 (ccd - 1) + qid - 1"),
    Column("x", pa.float64(), "pix", "column in the quadrant as stored; 0 is the centre of the first"),
    Column("y", pa.float64(), "pix", "row in the quadrant as stored; 0 is the centre of the first"),
    Column("u", pa.float32(), "pix", "focal plane, east of the optical axis"),
    Column("v", pa.float32(), "pix", "focal plane, north of the optical axis"),
    Column("ra", pa.float64(), "deg", "ICRS right ascension at the exposure's epoch"),
    Column("dec", pa.float64(), "deg", "ICRS declination at the exposure's epoch"),
    Column("mjd", pa.float64(), "d", "UTC of the exposure, modified Julian date"),
    Column("airmass", pa.float32(), "", "at the star"),
    Column("colour", pa.float32(), "mag", "BP - RP of the reference catalogue"),
    Column("g_mag", pa.float32(), "mag", "G of the reference catalogue"),
    Column("bp_mag", pa.float32(), "mag", "BP of the reference catalogue"),
    Column("rp_mag", pa.float32(), "mag", "RP of the reference catalogue"),
    Column("isolated", pa.bool_(), "", "no other catalogue star within the recipe's distance"),
    Column("flags", pa.uint16(), "", "mask bits of all pixels within the largest aperture, or-ed"),
    Column("background", pa.float32(), "adu", "global background at the star, per pixel; subtracted"),
    Column("background_rms", pa.float32(), "adu", "noise of the background at the star, per pixel"),
    Column("seeing", pa.float32(), "pix", "full width at half maximum of the exposure's stars"),
    Column("infobits", pa.int32(), "", "quality bits of the archive's science image of the quadrant; 0 is good"),
)


def catalogue_schema(radii: Sequence[float]) -> pa.Schema:
    """Aperture catalogue: one row a star and exposure; for each radius r_k, f_k, f_k_e, f_k_f.

    Parameters
    ----------
    radii
        Of the apertures, pixels; k counts them from 0.
    """
    apertures = [
        column
        for k in range(len(radii))
        for column in (
            Column(f"r_{k}", pa.float32(), "pix", "radius of the aperture"),
            Column(f"f_{k}", pa.float32(), "adu", "flux in the aperture, background subtracted"),
            Column(f"f_{k}_e", pa.float32(), "adu", "standard deviation of the flux, source photons included"),
            Column(f"f_{k}_f", pa.int16(), "", "flag of the aperture: bits of sep.sum_circle; 0 is clean"),
        )
    ]
    return schema_of([*_STAR, *apertures])


FOCAL_PLANE = (
    Column("ccd", pa.int8(), "", "CCD number, 1 to 16"),
    Column("level", pa.float64(), "adu", "FLTNORM: mean over the LEDs of the CCD's median before normalisation"),
    Column("median", pa.float64(), "", "median of the CCD's normalised flat"),
)
"""Levels of the flats of one filter; the focal plane's own is in the table's metadata."""

STAR_TABLE = (
    Column("star_id", pa.int64(), "", "identifier in the reference catalogue"),
    Column("exposure", pa.int64(), "", "filefracday of the exposure, YYYYMMDDFFFFFF"),
    Column("rcid", pa.int8(), "", "readout channel, 4 (ccd - 1) + qid - 1"),
    Column("x", pa.float32(), "pix", "column in the quadrant as stored; 0 is the centre of the first"),
    Column("y", pa.float32(), "pix", "row in the quadrant as stored; 0 is the centre of the first"),
    Column("u", pa.float32(), "pix", "focal plane, east of the optical axis"),
    Column("v", pa.float32(), "pix", "focal plane, north of the optical axis"),
    Column("mjd", pa.float64(), "d", "UTC of the exposure, modified Julian date"),
    Column("airmass", pa.float32(), "", "at the star"),
    Column("colour", pa.float32(), "mag", "BP - RP of the reference catalogue"),
    Column("mag", pa.float64(), "mag", "-2.5 log10 of the flux in ADU, of one aperture"),
    Column("mag_e", pa.float32(), "mag", "standard deviation of the magnitude"),
    Column("ra", pa.float64(), "deg", "ICRS right ascension at the exposure's epoch"),
    Column("dec", pa.float64(), "deg", "ICRS declination at the exposure's epoch"),
    Column("g", pa.float32(), "mag", "G of the reference catalogue"),
)
"""Measurements of one filter, star by star: the input of the fits.  NaN where a value is unknown, never null."""

STAR_TABLE_INDEX = (
    Column(
        "partition", pa.string(), "", "part of the data id of the partition: n<order>_<HEALPix pixel>, or p<number>"
    ),
    Column("address", pa.string(), "", "of the partition in the store"),
    Column("sha256", pa.string(), "", "of its file"),
    Column("rows", pa.int64(), "", "measurements kept"),
    Column("stars", pa.int64(), "", "stars kept"),
    Column("cut", pa.string(), "", "measurements that each cut took away, as JSON"),
)
"""Partitions of a star table, in the order of sky and star."""

PARAMETERS = (
    Column("family", pa.string(), "", "kind of parameter: zero_point, map, colour_map, airmass, gain, night"),
    Column("label", pa.float64(), "", "exposure (filefracday), superpixel (by rcid, row, column) or night (mjd)"),
    Column("rcid", pa.int16(), "", "readout channel, where the parameter is of one and the label of a night; else -1"),
    Column("value", pa.float64(), "", "in the unit of its row; NaN where no star determines it"),
    Column("sigma", pa.float64(), "", "standard deviation in the gauge that the table's metadata tell"),
    Column("count", pa.int64(), "", "measurements used"),
    Column("component", pa.int32(), "", "connected part of the sky or camera; -1 where nothing determines it"),
    Column("unit", pa.string(), "", "of value and sigma"),
)
"""Parameters of a fit.  Gauges, degeneracies and correlations are in the table's metadata, as JSON."""

STARFLAT_MAP = (
    Column("rcid", pa.int8(), "", "readout channel, 4 (ccd - 1) + qid - 1"),
    Column("row", pa.int16(), "", "of the superpixel in the quadrant as stored"),
    Column("column", pa.int16(), "", "of the superpixel in the quadrant as stored"),
    Column("x", pa.float64(), "pix", "centre of the superpixel, column of the quadrant"),
    Column("y", pa.float64(), "pix", "centre of the superpixel, row of the quadrant"),
    Column("u", pa.float32(), "pix", "centre on the focal plane, east of the optical axis"),
    Column("v", pa.float32(), "pix", "centre on the focal plane, north of the optical axis"),
    Column("map", pa.float64(), "mag", "to be subtracted from measured magnitudes; NaN where no star was"),
    Column("map_e", pa.float64(), "mag", "standard deviation, in the gauge of the metadata"),
    Column("count", pa.int64(), "", "measurements used"),
    Column("component", pa.int32(), "", "connected part of the camera; -1 where no star was"),
    Column("colour_map", pa.float64(), "mag / mag", "change of map with BP - RP, from colour_centre of the metadata"),
    Column("colour_map_e", pa.float64(), "mag / mag", "standard deviation of it"),
)
"""Response of the focal plane to starlight, superpixel by superpixel."""

STARFLAT_RESIDUALS = (
    Column("star_id", pa.int64(), "", "identifier in the reference catalogue"),
    Column("exposure", pa.int64(), "", "filefracday of the exposure, YYYYMMDDFFFFFF"),
    Column("rcid", pa.int8(), "", "readout channel, 4 (ccd - 1) + qid - 1"),
    Column("x", pa.float32(), "pix", "column in the quadrant as stored; 0 is the centre of the first"),
    Column("y", pa.float32(), "pix", "row in the quadrant as stored; 0 is the centre of the first"),
    Column("u", pa.float32(), "pix", "focal plane, east of the optical axis"),
    Column("v", pa.float32(), "pix", "focal plane, north of the optical axis"),
    Column("mjd", pa.float64(), "d", "UTC of the exposure, modified Julian date"),
    Column("colour", pa.float32(), "mag", "BP - RP of the reference catalogue"),
    Column("mag", pa.float64(), "mag", "of the star in the fit; NaN if it is not in it"),
    Column("residual", pa.float64(), "mag", "measured minus fitted"),
    Column("sigma", pa.float64(), "mag", "standard deviation of the measurement, error floor included"),
    Column("rejected", pa.bool_(), "", "too far off, and not used"),
    Column("left_out", pa.bool_(), "", "of a variable star, or of one that the fit does not know"),
)
"""Residuals of a starflat, one row a measurement."""


POCKET_PROFILES = (
    Column("qid", pa.int8(), "", "quadrant of the CCD, 1 to 4"),
    Column("block", pa.int16(), "", "number of the block of rows, counted from the amplifier"),
    Column("rows", pa.int16(), "", "rows used of the block: those that do not end on a source"),
    Column("mjd", pa.float64(), "d", "UTC of the exposure, modified Julian date"),
    Column("kelvin", pa.float64(), "K", "temperature of the CCD; NaN if its thermometer is broken"),
    Column("head_kelvin", pa.float64(), "K", "temperature of the cold head; NaN if its thermometer is broken"),
    Column("level", pa.float64(), "adu", "mean of the last columns of the rows, over bias and plain offset"),
    Column("error", pa.float64(), "adu", "standard deviation of each column of the mean overscan"),
    Column("overscan", pa.list_(pa.float64()), "adu", "mean overscan in readout order, over the plain offset"),
    Column("first", pa.float64(), "adu", "mean of the first column read, over bias and plain offset; NaN if unknown"),
    Column("start", pa.float64(), "adu", "what the columns behind it say the first one should show"),
    Column("start_error", pa.float64(), "adu", "standard deviation of the difference of these two"),
)
"""Mean overscans behind blocks of rows of one CCD exposure, linear."""

POCKET = (
    Column("ccd", pa.int8(), "", "CCD number, 1 to 16"),
    Column("qid", pa.int8(), "", "quadrant of the CCD, 1 to 4"),
    Column("valid_from", pa.date32(), "", "first night of the exposures it was measured on"),
    Column("valid_to", pa.date32(), "", "last night of them; nights nearest to these are corrected with it"),
    Column("thermometer", pa.string(), "", "whose temperature is meant: ccd, head, or none"),
    Column("reference", pa.float64(), "K", "temperature at which the spline holds"),
    Column("knots", pa.list_(pa.float64()), "", "of the cubic spline, in ln(level / ADU)"),
    Column("coefficients", pa.list_(pa.float64()), "", "of the spline of ln(charge / ADU), then its slope per kelvin"),
    Column("covariance", pa.list_(pa.float64()), "", "of the coefficients, row after row"),
    Column("chi2", pa.float64(), "", "of the profiles used, per degree of freedom"),
    Column("n_profile", pa.int32(), "", "mean overscans measured"),
    Column("n_used", pa.int32(), "", "of them used"),
    Column("level", pa.list_(pa.float64()), "adu", "levels of the next columns"),
    Column("charge", pa.list_(pa.float64()), "adu", "in the pocket behind a pixel of that level, at the reference"),
    Column("charge_error", pa.list_(pa.float64()), "adu", "standard deviation of it"),
)
"""Equilibrium function of the pocket of each amplifier of a CCD."""

LINEARITY = (
    Column("ccd", pa.int8(), "", "CCD number, 1 to 16"),
    Column("qid", pa.int8(), "", "quadrant of the CCD, 1 to 4"),
    Column("rcid", pa.int8(), "", "readout channel, 4 (ccd - 1) + qid - 1"),
    Column("valid_from", pa.date32(), "", "first night of the flats"),
    Column("valid_to", pa.date32(), "", "last night of the flats"),
    Column("a", pa.float64(), "adu-2", "true = x / (a x^2 + b x + 1)"),
    Column("b", pa.float64(), "adu-1", "true = x / (a x^2 + b x + 1)"),
    Column("a_error", pa.float64(), "adu-2", "standard deviation, the gauge's included"),
    Column("b_error", pa.float64(), "adu-1", "standard deviation, the gauge's included"),
    Column("ab_correlation", pa.float64(), "", "correlation of the two errors"),
    Column("table_a", pa.float64(), "adu-2", "of the dated table, on the first night"),
    Column("table_b", pa.float64(), "adu-1", "of the dated table, on the first night"),
    Column("n_frame", pa.int32(), "", "flats used"),
    Column("least", pa.float64(), "adu", "faintest level used"),
    Column("most", pa.float64(), "adu", "brightest level used"),
    Column("chi2", pa.float64(), "", "of the four quadrants together, per degree of freedom"),
    Column("shown", pa.list_(pa.float64()), "adu", "median of each flat used, over the offset, bias included"),
    Column("left", pa.list_(pa.float64()), "", "linear median over the light of the fit, less 1, flat by flat"),
    Column("lamp", pa.list_(pa.float64()), "", "light of the lamp over what the clock says, less 1, flat by flat"),
)
"""Response of the readout channels of a CCD, beside the dated table's."""

PSF_CATALOGUE = (
    *_STAR,
    Column("f_psf", pa.float64(), "adu", "flux by the PSF, over the sky found with it"),
    Column("f_psf_e", pa.float32(), "adu", "standard deviation of the flux, source photons included"),
    Column("f_psf_f", pa.int16(), "", "0, or 1 where more than 5 % of the pixels were rejected or bad"),
    Column("x_psf", pa.float64(), "pix", "column where the PSF found the star"),
    Column("y_psf", pa.float64(), "pix", "row where the PSF found the star"),
    Column("x_psf_e", pa.float32(), "pix", "standard deviation of x_psf"),
    Column("y_psf_e", pa.float32(), "pix", "standard deviation of y_psf"),
    Column("chi2", pa.float32(), "", "of the pixels of the star's stamp, per degree of freedom"),
    Column("shows_psf", pa.bool_(), "", "the star is one of those that the PSF was fitted to"),
)
"""PSF photometry of one quadrant exposure: as the aperture catalogue, its apertures left out."""

PSF = (
    Column("shape", pa.list_(pa.float64()), "", "4 x term: ln width^2, ellipticities, ln(beta - 1); 1 x y x2 xy y2"),
    Column("middle", pa.list_(pa.float64()), "pix", "x, y from where the terms of the shape count"),
    Column("scale", pa.float64(), "pix", "unit of x and y in the terms of the shape"),
    Column("residual", pa.list_(pa.float64()), "", "coefficients of the cubic B-spline over the Moffat, row after row"),
    Column("spacing", pa.float64(), "pix", "between the coefficients, at the middle"),
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
)
"""A target in one exposure: one row."""

LIGHT_CURVE = (
    Column("exposure", pa.string(), "", "quadrant exposure, or image"),
    Column("band", pa.string(), "", "filter code: zg, zr, zi"),
    Column("mjd", pa.float64(), "d", "UTC of the exposure, modified Julian date"),
    Column("flux", pa.float64(), "", "of the transient; 1 is a source of the magnitude zero_point; null: not measured"),
    Column("flux_e", pa.float64(), "", "standard deviation of the flux by itself, that of the zero point left out"),
    Column(
        "covariance", pa.list_(pa.float64()), "", "of the flux with those of all rows that have one, in their order"
    ),
    Column("zero_point", pa.float64(), "mag", "magnitude of a flux of 1"),
    Column("throughput", pa.float64(), "adu", "of the exposure for a flux of 1, from its stars"),
    Column("throughput_e", pa.float64(), "", "relative standard deviation of the throughput; part of the covariance"),
    Column("n_star", pa.int32(), "", "stars that tell the throughput"),
    Column("fwhm", pa.float64(), "pix", "of the PSF"),
    Column("slope", pa.float64(), "mmag / mag", "of the stars' residuals with magnitude, against their own means"),
    Column("slope_e", pa.float64(), "mmag / mag", "standard deviation of the slope"),
    Column("sky", pa.float64(), "adu", "per pixel, at the transient"),
    Column("noise", pa.float64(), "adu", "standard deviation of a pixel with nothing but sky"),
    Column("gain", pa.float64(), "electron / adu", "of the image"),
    Column("chi2", pa.float64(), "", "of the pixels"),
    Column("n_pixel", pa.int32(), "", "pixels used"),
    Column("n_rejected", pa.int32(), "", "pixels rejected by the fit"),
    Column("flags", pa.int32(), "", "bits of lib.scene.model.ExposureFlag"),
    Column("reason", pa.string(), "", "why the exposure was not used; empty if it was"),
)
"""Light curve of a target in one band: one row an exposure, in order of time."""

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

CALIBRATIONS = (
    Column("kind", pa.string(), "", "bias, ledflat, flat, focalplane, badpixels"),
    Column("part", pa.string(), "", "what it is of, whatever its period: c03, zg/c03, zg"),
    Column("ccd", pa.int8(), "", "CCD number, 1 to 16; null for what is of all CCDs"),
    Column("filter", pa.string(), "", "filter code; null for what is of none"),
    Column("recipe", pa.string(), "", "digest of the recipe"),
    Column("first", pa.date32(), "", "first night that it is made of, and serves without distance"),
    Column("last", pa.date32(), "", "last such night"),
    Column("quality", pa.string(), "", "good, suspect or rejected; good if nobody judges this kind"),
    Column("reason", pa.string(), "", "why it is not good"),
    Column("compared", pa.string(), "", "address of the master that it was compared with; empty if with none"),
    Column("moved", pa.float64(), "", "share of the pixels that moved since that one"),
    Column("n_frames", pa.int32(), "", "raw frames combined"),
    Column("inputs", pa.list_(pa.string()), "", "sha256 of what it was made of"),
    Column("sha256", pa.string(), "", "of the file"),
    Column("file", pa.string(), "", "name of the file"),
    Column("address", pa.string(), "", "of the product in the store"),
)
"""List of the calibrations of a period: one row each."""
