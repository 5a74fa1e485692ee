"""What starflat and ubercal say."""

from __future__ import annotations

import pyarrow as pa

from ztf_in2p3.tables.column import Column

PARAMETERS = (
    Column("family", pa.string(), "", "kind of parameter: zero_point, map, colour_map, airmass, gain, night"),
    Column("label", pa.float64(), "", "exposure (filefracday), superpixel (by rcid, row, column) or night (mjd)"),
    Column("rcid", pa.int16(), "", "readout channel, where the parameter is of one and the label of a night; else -1"),
    Column("value", pa.float64(), "", "in the unit of its row; NaN where no star determines it"),
    Column("sigma", pa.float64(), "", "standard deviation in the gauge that the table's metadata tell"),
    Column("count", pa.int64(), "", "measurements used"),
    Column("component", pa.int32(), "", "connected part of the sky or camera; -1 where nothing determines it"),
    Column("flag", pa.int8(), "", "0: to be trusted; bits: 1 few measurements, 2 few stars, 4 many rejected"),
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
    Column("flag", pa.int8(), "", "0: to be trusted; bits: 1 few measurements, 2 few stars, 4 many rejected"),
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
