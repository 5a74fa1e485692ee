"""What is measured of the detector, and the list of its calibrations."""

from __future__ import annotations

import pyarrow as pa

from ztf_in2p3.tables.column import Column

FOCAL_PLANE = (
    Column("ccd", pa.int8(), "", "CCD number, 1 to 16"),
    Column("level", pa.float64(), "adu", "FLTNORM: mean over the LEDs of the CCD's median before normalisation"),
    Column("median", pa.float64(), "", "median of the CCD's normalised flat"),
    Column("light", pa.float64(), "", "light of the frames of the CCD's flat over that of all CCDs' frames"),
    Column("counted", pa.bool_(), "", "whether it counts in the level of the focal plane: not if it is suspect"),
)
"""Levels of the flats of one filter; the focal plane's own is in the table's metadata."""

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
    Column("model", pa.string(), "", "that serves: equilibrium, or powerlaw (the published one; next columns null)"),
    Column("reason", pa.string(), "", "why the power law serves"),
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

CALIBRATIONS = (
    Column("kind", pa.string(), "", "bias, ledflat, flat, focalplane, badpixels, pocket, fringe"),
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
