"""Products that no release refers to."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ztf_in2p3.audit.holdings import Holdings
from ztf_in2p3.products import NO_RECIPE, Kind
from ztf_in2p3.store import Manifest, Store

ACCOMPANYING = (Kind.QUALITY, Kind.BAD_PIXELS, Kind.CALIBRATIONS, Kind.SUMMARY, Kind.FIGURE, Kind.REPORT)
"""Kinds that are kept for the sake of what they were made of."""


def garbage(holdings: Holdings, digests: Collection[str]) -> list[Manifest]:
    """Computed products that are neither made by one of the releases' recipes nor an ancestor of such.

    What was fetched stays, and so do verdicts, lists, figures and pages that were made only of products that stay,
    though their recipes are no part of a release.

    Parameters
    ----------
    digests
        Recipes of the releases that are kept, nested ones too.
    """
    named = [address for address, manifest in holdings.manifests.items() if manifest.ref.recipe in digests]
    kept = holdings.ancestors(named) | {
        address for address, manifest in holdings.manifests.items() if manifest.ref.recipe == NO_RECIPE
    }
    raw = {address for address in kept if holdings.manifests[address].ref.recipe == NO_RECIPE}
    growing = True
    while growing:  # children of children
        grown = {
            address
            for address, manifest in holdings.manifests.items()
            if address not in kept and _belongs(manifest, kept, raw)
        }
        kept |= grown
        growing = bool(grown)
    return [manifest for address, manifest in holdings.manifests.items() if address not in kept]


def _belongs(manifest: Manifest, kept: Collection[str], raw: Collection[str]) -> bool:
    """Whether it only accompanies its parents, which all stay, and one of which is computed."""
    if manifest.ref.kind not in ACCOMPANYING:
        return False
    parents = [product.ref.address for product in manifest.inputs]
    return any(parent in kept and parent not in raw for parent in parents) and all(parent in kept for parent in parents)


def collect_garbage(store: Store, manifests: Sequence[Manifest]) -> None:
    """Remove products."""
    for manifest in manifests:
        store.remove(manifest.ref)
