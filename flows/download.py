"""Files from the archive into the store."""

from __future__ import annotations

from typing import Unpack

from tasks.archive import expected_of, fetch_all, fetch_stars_around, find_frames, reference_for, why_no_frames
from tasks.inputs.references import circles
from tasks.inputs.selection import absent, frames
from tasks.runtime.form import Shared
from tasks.runtime.outcome import Outcome
from tasks.runtime.parameters import Scope
from tasks.runtime.product_flow import product_flow
from tasks.runtime.settings import archive_at
from ztf_in2p3.addresses import GAIA_ADDRESS, IRSA_ADDRESS
from ztf_in2p3.products import Kind
from ztf_in2p3.recipes import CatalogueRecipe
from ztf_in2p3.store import Store


@product_flow("download", needs="frames", workers=0)
def download(
    scope: Scope,
    store: Store,
    *,
    archive: str = IRSA_ADDRESS,
    reference: str = GAIA_ADDRESS,
    recipe: CatalogueRecipe = CatalogueRecipe(),
    refresh: bool = False,
    **shared: Unpack[Shared],
) -> Outcome:
    """Bring a period's frames, science headers, masks and reference stars into the store.

    1. Ask the archive which frames there are; without any it fails, unless the archive has frames of nights about.
    2. Open the reference catalogue and check it.
    3. Fetch the frames that the store lacks, or of which the archive lists another edition by now, by exposure.
    4. Fetch the reference stars around the exposures.

    Parameters
    ----------
    store
        Folder or s3://bucket/prefix that receives the files.
    reference
        Folder, s3://bucket/prefix or https://host/path of the reference stars, a HATS catalogue or collection of them:
        `ztf reference import` makes one of any table of stars.
    recipe
        Every number the products depend on; here, which reference catalogue.
    refresh
        Ask the archive for the size and date of every file that is here already, and fetch again what differs.
    """
    source = archive_at(archive)

    wanted = scope.selected(find_frames(source, scope.period, scope.filters, scope.ccdids))
    note = "" if wanted else why_no_frames(source, scope.period, scope.ccdids)

    catalogue = reference_for(wanted, reference, recipe.reference)

    files = fetch_all(wanted, source, store, refresh=refresh)

    # Of the store's headers, not of this run's: an exposure of which one file fails has the others.
    headers = frames(store, Kind.HEADER, scope.period, **scope.which)
    places = circles(headers, recipe.photometry)
    missing = absent(scope.exposures, scope.period, wanted, "the archive")
    stars = fetch_stars_around(places, catalogue, recipe.reference, store)
    return files + stars + Outcome(set_aside=missing, expected=expected_of(wanted), note=note)
