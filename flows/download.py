"""From the archive into the store."""

from __future__ import annotations

from tasks.archive import fetch_all, fetch_stars_around, find_frames
from tasks.inputs.references import circles
from tasks.inputs.selection import frames
from tasks.runtime.outcome import Outcome
from tasks.runtime.parameters import scope_of
from tasks.runtime.product_flow import product_flow
from tasks.runtime.settings import archive_at, store_at
from ztf_in2p3.archive import IRSA_ADDRESS
from ztf_in2p3.archive.reference import GAIA_ADDRESS
from ztf_in2p3.products import Kind
from ztf_in2p3.recipes import CatalogueRecipe


@product_flow("download")
def download(
    period: str,
    store: str,
    *,
    archive: str = IRSA_ADDRESS,
    reference: str = GAIA_ADDRESS,
    camera: str = "ztf",
    ccds: list[int] | None = None,
    filters: list[str] | None = None,
    recipe: CatalogueRecipe = CatalogueRecipe(),
    workers: int | None = 0,
    max_set_aside: float = 0.2,
) -> Outcome:
    """Bring a period's frames, science headers, masks and reference stars into the store.

    1. Ask the archive which frames there are.
    2. Fetch those the store lacks, exposure by exposure.
    3. Fetch the reference stars around the exposures.

    Parameters
    ----------
    store
        Folder or s3://bucket/prefix that receives the files.
    recipe
        Every number the products depend on; here, which reference catalogue.
    workers
        Processes that compute; the network needs none.
    """
    scope, products, source = scope_of(period, camera, ccds, filters), store_at(store), archive_at(archive)

    wanted = find_frames(source, scope.period, scope.filters, scope.ccdids)

    files = fetch_all(wanted, source, products)

    # Of the store's headers, not of this run's: an exposure of which one file fails has the others.
    headers = frames(products, Kind.HEADER, scope.period, filters=scope.filters, ccdids=scope.ccdids)
    places = circles(headers, recipe.photometry)
    return files + fetch_stars_around(places, reference, recipe.reference, products)
