"""What follows from a product that turned out bad, and how that is marked or taken away."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from ztf_in2p3.audit.holdings import Holdings
from ztf_in2p3.errors import BadData
from ztf_in2p3.store import Manifest, Store

FOLDER = ".retracted"
"""Folder of the marks, beside the kinds of products."""


@dataclass(frozen=True, slots=True)
class Retraction:
    """Mark of a product that is not to be trusted any more; one made anew of other content is not meant."""

    address: str
    sha256: str
    source: str
    """Address of what was retracted in the first place."""
    reason: str


def affected(holdings: Holdings, source: Manifest) -> list[Manifest]:
    """What was made of this very content of a product, directly or not; each after all that it is made of."""
    used = {(source.ref.address, source.sha256)}
    made = []
    for address in holdings.descendants(source.ref.address):
        manifest = holdings.manifests[address]
        if any((product.ref.address, product.sha256) in used for product in manifest.inputs):
            used.add((address, manifest.sha256))
            made.append(manifest)
    return made


def mark(store: Store, source: Manifest, made: Sequence[Manifest], reason: str) -> None:
    """Note that a product and what was made of it are not to be trusted; all stay where they are."""
    for manifest in (source, *made):
        retraction = Retraction(manifest.ref.address, manifest.sha256, source.ref.address, reason)
        store.files.write(_path(manifest.ref.address), (json.dumps(asdict(retraction), indent=1) + "\n").encode())


def remove(store: Store, made: Sequence[Manifest]) -> None:
    """Take away what was made of a retracted product, last things first, so that the next run makes it again."""
    for manifest in reversed(made):
        store.remove(manifest.ref)
        store.files.remove(_path(manifest.ref.address))


def unmark(store: Store, source: Manifest) -> list[str]:
    """Withdraw the marks that were set for a product; the addresses that had them."""
    freed = [address for address, entry in retractions(store).items() if entry.source == source.ref.address]
    for address in freed:
        store.files.remove(_path(address))
    return freed


def retractions(store: Store) -> dict[str, Retraction]:
    """Marks by address of the product.

    Raises
    ------
    BadData
        A mark cannot be read: what it was about would pass for good.
    """
    marks = {}
    for path in store.files.list(FOLDER):
        content = store.files.read(path)
        try:
            entry = Retraction(**json.loads(content or b""))
        except (ValueError, TypeError) as error:
            raise BadData(
                f"{store.files.uri(path)} is no mark of a retraction ({error}); remove it, retract again"
            ) from None
        marks[entry.address] = entry
    return marks


def _path(address: str) -> str:
    return f"{FOLDER}/{address}.json"
