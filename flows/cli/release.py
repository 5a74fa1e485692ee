"""``ztf release``: what a release of years needs, without a server."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import App

from ztf_in2p3.errors import Mistyped

if TYPE_CHECKING:
    import pyarrow as pa

    from ztf_in2p3.release import Release
    from ztf_in2p3.release.listing import Present
    from ztf_in2p3.store import Store

app = App(name="release", help="Releases: what is there, what is to be made, what cannot be.")


@app.command
def plan(release: Path, store: str, *, listing: Path | None = None, output: Path | None = None) -> int:
    """Compare a release with a store: what is present, what is to be made at which cost, and what cannot be made.

    Masters are planned month by month, catalogues with the nearest of them; nothing is made.  CPU hours and GB follow
    from what products of the same recipe cost that the store has already, or else those of another recipe.

    Parameters
    ----------
    release
        TOML file, as deployments/releases/toy.toml.
    store
        Folder or s3://bucket/prefix of the products.
    listing
        Parquet file of the raw files that the archive has, with its columns filefracday, field, filtercode,
        imgtypecode and ccdid; if not given, the raw files in the store.
    output
        Parquet file for the plan, a row a product.
    """
    place, parsed, present = _prepared(release, store)
    table = _planned(place, parsed, present, listing)
    from ztf_in2p3.audit.contents import table_lines
    from ztf_in2p3.release.summary import costs_in, counted, priced, reasons
    from ztf_in2p3.store.parquet import write_table

    if output is not None:
        write_table(output.expanduser(), table, {"release": parsed.name, "nights": str(parsed.nights)})
    rows = list(priced(counted(table), costs_in(place, parsed)))
    _write([f"release {parsed.name}, nights {parsed.nights}", *table_lines(rows)])
    _write(f"cannot be made: {line}" for line in reasons(table))
    return 0


@app.command
def status(release: Path, store: str, *, listing: Path | None = None) -> int:
    """Show month by month how much of a release is there.

    Parameters
    ----------
    release
        TOML file, as deployments/releases/toy.toml.
    store
        Folder or s3://bucket/prefix of the products.
    listing
        Parquet file of the raw files that the archive has; if not given, the raw files in the store.
    """
    table = _planned(*_prepared(release, store), listing)
    from ztf_in2p3.audit.contents import table_lines
    from ztf_in2p3.release.summary import counted, share_present

    _write([*table_lines(counted(table, by="month")), f"{share_present(table):.1%} of what can be made is present"])
    return 0


@app.command
def commands(release: Path, store: str, *, listing: Path | None = None, camera: str = "ztf") -> int:
    """Print the commands that are left to run for a release, in their order, a flow run each.

    Masters of all months come first, then catalogues month by month, then star tables and zero points; what is present
    is left out.  Piped into a shell or a job script they do the release; stopped anywhere, print them again.

    Parameters
    ----------
    release
        TOML file, as deployments/releases/toy.toml; each flow takes its recipe from it.
    store
        Folder or s3://bucket/prefix of the products.
    listing
        Parquet file of the raw files that the archive has; if not given, the raw files in the store.
    camera
        ztf, or tiny for simulated nights.
    """
    place, parsed, present = _prepared(release, store)
    table = _planned(place, parsed, present, listing)
    from ztf_in2p3.release.batches import batches

    for batch in batches(parsed, table):
        words = ["ztf", batch.flow, str(batch.period), "--store", store, "--recipe", str(release), "--camera", camera]
        words += ["--filters", *map(str, parsed.filters), "--ccds", *map(str, parsed.ccds)]
        if parsed.fields and batch.flow == "catalogue":
            words += ["--fields", *map(str, parsed.fields)]
        _write([f"{shlex.join(words)}  # {batch.products} products"])
    return 0


def _prepared(release: Path, store: str) -> tuple[Store, Release, Present]:
    from tasks.runtime.settings import store_at
    from ztf_in2p3.release.definition import Release
    from ztf_in2p3.release.listing import present_in

    parsed = Release.read(release)
    place = store_at(store)
    if absence := place.files.absence():
        raise Mistyped(f"{store}: {absence}")
    return place, parsed, present_in(place, parsed)


def _planned(store: Store, release: Release, present: Present, listing: Path | None) -> pa.Table:
    from ztf_in2p3.release.listing import listing_of, read_listing
    from ztf_in2p3.release.plan import plan_of

    if listing is not None and not listing.expanduser().is_file():
        raise Mistyped(f"{listing} does not exist; expected a Parquet file of raw files")
    raws = listing_of(store, release.nights) if listing is None else read_listing(listing.expanduser())
    if not raws.num_rows:
        raise Mistyped(f"no raw files of {release.nights} are listed; run `ztf download`, or give --listing")
    return plan_of(release, raws, present)


def _write(lines: Iterable[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
