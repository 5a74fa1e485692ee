"""Calibrated light curves of stars: a row a star, its measurements nested in it."""

from __future__ import annotations

import pyarrow as pa

from ztf_in2p3.tables.column import Column, schema_of

CURVE_OBJECTS = (
    Column("star_id", pa.int64(), "", "identifier in the reference catalogue"),
    Column("ra", pa.float64(), "deg", "ICRS right ascension, mean of the measurements; NaN if unknown"),
    Column("dec", pa.float64(), "deg", "ICRS declination, mean of the measurements; NaN if unknown"),
    Column("band", pa.string(), "", "filter, as sncosmo calls it: ztfg, ztfr, ztfi"),
    Column("mag", pa.float64(), "mag", "weighted mean of the good measurements"),
    Column("mag_e", pa.float64(), "mag", "its standard deviation, in the gauge of the survey"),
    Column("n", pa.int32(), "", "good measurements: those that no bit of the recipe's `unusable` speaks against"),
    Column("n_flagged", pa.int32(), "", "measurements that are not good"),
    Column("scatter", pa.float64(), "mag", "standard deviation of the good measurements around their mean"),
    Column("expected", pa.float64(), "mag", "the same from the errors alone"),
    Column("excess", pa.float64(), "mag", "what scatter has over the expected one, in quadrature; 0 if it has nothing"),
    Column("chi2", pa.float64(), "", "of the good measurements around their mean, per degree of freedom"),
    Column(
        "neumann", pa.float64(), "", "mean square of successive differences over variance; 2 for noise, less if slow"
    ),
    Column("variable", pa.bool_(), "", "the survey's fit found it too scattered to be constant"),
    Column("held_out", pa.bool_(), "", "took no part in the survey's fit"),
    Column("component", pa.int32(), "", "part of the sky within which magnitudes can be compared; -1: none"),
    Column("colour", pa.float32(), "mag", "BP - RP of the reference catalogue"),
    Column("g", pa.float32(), "mag", "G of the reference catalogue"),
)
"""Objects of the light curves: everything but the measurements."""

CURVE_POINTS = (
    Column("mjd", pa.float64(), "d", "UTC of the exposure, modified Julian date"),
    Column("mag", pa.float64(), "mag", "calibrated; NaN where nothing calibrates it"),
    Column("mag_e", pa.float32(), "mag", "standard deviation: photons, floor, error model, zero point"),
    Column("flags", pa.int16(), "", "bits of ztf_in2p3.light_curves.calibration.PointFlag; 0: nothing is wrong"),
    Column("exposure", pa.int64(), "", "filefracday of the exposure, YYYYMMDDFFFFFF"),
    Column("rcid", pa.int8(), "", "readout channel, 4 (ccd - 1) + qid - 1"),
    Column("x", pa.float32(), "pix", "column in the quadrant as stored; 0 is the centre of the first"),
    Column("y", pa.float32(), "pix", "row in the quadrant as stored; 0 is the centre of the first"),
    Column("airmass", pa.float32(), "", "at the star"),
    Column("instrumental", pa.float32(), "mag", "as measured, corrected by the starflat if there was one"),
    Column("zero_point", pa.float64(), "mag", "what was subtracted from it, all terms"),
)
"""Measurements of a light curve, in order of time."""

NESTED = "lightcurve"
"""Column that holds them: a struct of lists of one length."""


def star_curves_schema() -> pa.Schema:
    """Columns of the objects, and their measurements nested in the last one."""
    lists = [
        pa.field(point.name, pa.list_(point.type), metadata={"unit": point.unit, "description": point.doc})
        for point in CURVE_POINTS
    ]
    nested = pa.field(NESTED, pa.struct(lists), metadata={"unit": "", "description": "measurements, in order of time"})
    return schema_of(CURVE_OBJECTS).append(nested)
