"""What other programs call the columns of a table of star measurements."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields, replace

from ztf_in2p3.errors import BadData
from ztf_in2p3.recipes import ImportedColumns, recipe_from

STARTABLE = ImportedColumns()
"""Star tables of the starflat programs: ``starid ccdid qid x y mjd airmass colour mag emag``."""

IRSA = ImportedColumns(
    star_id="oid",
    exposure="filefracday",
    ccd="ccdid",
    x="",
    y="",
    colour="",
    mag_e="magerr",
    ra="ra",
    dec="dec",
    filter="filtercode",
    flags="catflags",
    bad_flags=0x8000,
)
"""IRSA's light-curve service.  Its magnitudes are calibrated: zero points fitted to them are corrections of its own.
An oid is a star in one field, quadrant and filter."""

PSFCAT = ImportedColumns(
    star_id="",
    exposure="exposure",
    x="xpos",
    y="ypos",
    colour="",
    mag_e="sigmag",
    ra="ra",
    dec="dec",
    filter="filter",
    first_pixel=1.0,
)
"""PSF catalogues of the archive, one file a quadrant exposure.  Their sourceid counts within an image, so that stars
are told by their place; exposure, quadrant and filter are in the file's name, date and airmass in its header."""

PLAIN = ImportedColumns(
    star_id="star_id",
    exposure="exposure",
    rcid="rcid",
    ccd="ccd",
    mag_e="mag_e",
    ra="ra",
    dec="dec",
    g="g",
    filter="filter",
)
"""Our own names, which suit a DataFrame: ``star_id exposure rcid x y mjd airmass colour mag mag_e ra dec g filter``."""

COLUMN_MAPS = {
    "startable": STARTABLE,
    "irsa": IRSA,
    "irsa-by-place": replace(IRSA, star_id=""),
    "psfcat": PSFCAT,
    "dataframe": PLAIN,
}
"""Maps of columns by the names that an operator types; the one by place joins the stars of different fields."""

ALIASES = {
    "star_id": ("star_id", "starid", "source_id", "gaia_id", "gaiaid", "oid", "objid", "objectid"),
    "exposure": ("exposure", "filefracday", "expid", "exposure_id"),
    "rcid": ("rcid",),
    "ccd": ("ccd", "ccdid", "ccd_id"),
    "qid": ("qid", "quadrant", "quad"),
    "x": ("x", "xpos", "x_pix"),
    "y": ("y", "ypos", "y_pix"),
    "mjd": ("mjd", "obsmjd"),
    "airmass": ("airmass",),
    "colour": ("colour", "color", "bp_rp", "bprp"),
    "mag": ("mag", "psfmag", "magnitude"),
    "mag_e": ("mag_e", "emag", "magerr", "sigmag", "mag_err", "e_mag", "mag_error", "sigma_mag"),
    "ra": ("ra",),
    "dec": ("dec",),
    "g": ("g", "phot_g_mean_mag", "g_mag"),
    "filter": ("filter", "filtercode", "fid", "band"),
}
"""Names under which a column is looked for where no map was given."""


def guessed(columns: Collection[str], facts: Collection[str] = ()) -> ImportedColumns:
    """The map that fits a table: one of `COLUMN_MAPS` if all that it needs is there, else by `ALIASES`.

    Parameters
    ----------
    columns
        Columns of the table.
    told
        What its file's name tells besides: see `ztf_in2p3.catalogue.imported_file`.

    Raises
    ------
    BadData
        Something indispensable is not there under any known name.
    """
    known = {name.lower() for name in columns}
    for name in ("dataframe", "irsa", "startable"):
        if not lacking(COLUMN_MAPS[name], known):
            return COLUMN_MAPS[name]
    if {"xpos", "ypos", "sigmag"} <= known and not lacking(PSFCAT, known | set(facts)):
        return PSFCAT
    by_alias = {ours: next((name for name in names if name in known), "") for ours, names in ALIASES.items()}
    columns_map = recipe_from(ImportedColumns, by_alias)
    if missing := lacking(columns_map, known | set(facts)):
        names = "; ".join(f"{what} ({' '.join(ALIASES.get(what, ()))})" for what in missing)
        raise BadData(
            f"the table has the columns {', '.join(columns)}: nothing that can be taken for {names}; "
            f"name a map of columns ({', '.join(COLUMN_MAPS)}, or a TOML file)"
        )
    return columns_map


def lacking(columns_map: ImportedColumns, columns: Collection[str]) -> list[str]:
    """What a table must have and does not, under a map; `columns` in lower case."""

    def has(ours: str) -> bool:
        name = getattr(columns_map, ours)
        return bool(name) and name.lower() in columns

    missing = [ours for ours in ("mag", "mag_e") if not has(ours)]
    if not has("star_id") and (columns_map.star_id or not (has("ra") and has("dec"))):
        missing.append("star_id")
    if not has("exposure") and not has("mjd"):
        missing.append("exposure")
    if not has("rcid"):
        missing += [ours for ours in ("ccd", "qid") if not has(ours)]
    return missing


def named(columns_map: ImportedColumns, columns: Collection[str]) -> dict[str, str]:
    """The table's name for each of our columns that it has, whatever case it is written in."""
    spelled = {name.lower(): name for name in columns}
    names = {field.name: getattr(columns_map, field.name) for field in fields(columns_map)}
    return {
        ours: spelled[name.lower()] for ours, name in names.items() if isinstance(name, str) and name.lower() in spelled
    }
