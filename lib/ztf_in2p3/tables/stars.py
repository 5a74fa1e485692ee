"""Catalogues of stars, and star tables made of them."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from ztf_in2p3.tables.column import Column, schema_of

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
    Column("filter", pa.string(), "", "filter code: zg, zr, zi"),
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
        Radii of the apertures, pixels; k counts them from 0.
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
    Column("mag", pa.float64(), "mag", "-2.5 log10 of the flux in ADU, of one aperture or by the PSF"),
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
