"""``ztf reference``: catalogues of reference stars, made of any table of stars."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from cyclopts import App

from ztf_in2p3.errors import Mistyped
from ztf_in2p3.recipes import ReferenceRecipe

app = App(name="reference", help="Catalogues of reference stars.")


@app.command(name="import")
def import_table(
    table: Path,
    folder: Path,
    *,
    columns: tuple[str, ...] = (),
    units: tuple[str, ...] = (),
    epoch: float = ReferenceRecipe().epoch,
    name: str = "reference",
) -> None:
    """Lay a table of stars out as a catalogue for --reference.

    Positions are ICRS; proper motion in right ascension includes cos(dec).  They are moved to J2016.0, the epoch that
    the default recipes expect.  Identifiers that are not Gaia's are replaced by such as tell the place, and kept in the
    column original_id.

    Parameters
    ----------
    table
        Parquet, FITS, CSV, ECSV or VOTable file, or a folder of such files.
    folder
        Folder of the catalogue, made anew.
    columns
        What columns are called in the table: ra=RAJ2000 dec=DEJ2000.  Ours are source_id, ra, dec, parallax, pmra,
        pmdec, phot_g_mean_mag, phot_bp_mean_mag, phot_rp_mean_mag and ref_epoch; the names of Gaia's archive and of
        VizieR's copies are known.
    units
        Units of columns, where they are not deg, mas, mas/yr and mag, nor said by the file: ra=hourangle
        pmra=arcsec/yr.
    epoch
        Julian year of the table's positions, if it has no column ref_epoch.
    name
        Name of the catalogue in its properties.
    """
    renamed, stated = _pairs(columns, "--columns"), _pairs(units, "--units")
    if not table.expanduser().exists():
        raise Mistyped(f"{table} does not exist; expected a table of stars, or a folder of such tables")
    from ztf_in2p3.archive.reference import ReferenceCatalogue  # slow to load, once what was typed is right
    from ztf_in2p3.catalogue.reference_import import import_reference

    recipe = ReferenceRecipe()
    summary = import_reference(
        table.expanduser(),
        folder.expanduser(),
        columns=renamed,
        unit=stated,
        epochs=(epoch, recipe.epoch),
        name=name,
    )
    catalogue = ReferenceCatalogue.open(str(folder.expanduser()), epoch=recipe.epoch)  # as the flows will
    n_part = sum(map(len, catalogue.pixels.values()))
    lines = [
        f"{summary.stars} stars in {n_part} partitions, columns from {', '.join(sorted(summary.columns.values()))}"
    ]
    lines += [f"left out or unknown: {count}: {reason}" for reason, count in summary.dropped.items()]
    lines += [] if summary.gaia_ids else ["identifiers are made of the positions; the table's own are in original_id"]
    sys.stdout.write("\n".join([*lines, f"use it with --reference {folder}", ""]))


def _pairs(texts: Iterable[str], option: str) -> dict[str, str]:
    pairs = {}
    for text in texts:
        ours, equals, theirs = text.partition("=")
        if not (ours and equals and theirs):
            raise Mistyped(f"{option}: {text!r}, expected NAME=VALUE, as in ra=RAJ2000")
        pairs[ours] = theirs
    return pairs
