"""What is wrong with the products of a store, each trouble by its name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from ztf_in2p3.audit.holdings import Holdings
from ztf_in2p3.audit.retraction import retractions
from ztf_in2p3.camera import CAMERAS
from ztf_in2p3.products import NO_RECIPE, Kind, ProductRef
from ztf_in2p3.recipes.text import digest_of_text
from ztf_in2p3.store import Manifest, Store
from ztf_in2p3.store.manifest import fingerprint_of_text
from ztf_in2p3.store.records import MANIFEST, file_path, manifest_path

_NO_COMMIT = ("", "unknown")
_DIRTY = "-dirty"
FETCHED = (Kind.RAW, Kind.HEADER, Kind.SCIENCE, Kind.MASK, Kind.IMAGE, Kind.IMAGE_MASK)
"""Kinds whose products are not computed, and lie in the store as they came."""


class Trouble(StrEnum):
    """What can be wrong with a product or a file of a store."""

    NO_FILE = "no file"
    """A manifest vouches for a file that is not there."""
    DAMAGED = "damaged"
    """The file is not what its manifest says."""
    BAD_MANIFEST = "bad manifest"
    """The manifest was cut or altered, or belongs elsewhere."""
    ORPHAN = "orphan"
    """A file without a manifest, where products lie."""
    FOREIGN = "foreign file"
    """A file that no writer of ours puts where it lies."""
    OTHER_RECIPE = "other recipe"
    """The recipe noted is not that of the address."""
    OTHER_FINGERPRINT = "other fingerprint"
    """The fingerprint does not follow from the recipe and the inputs noted."""
    CHANGED_INPUT = "changed input"
    """An input was made anew since, with other content."""
    LOST_INPUT = "lost input"
    """An input is no longer in the store."""
    UNKNOWN_CODE = "unknown code"
    """The commit that made the product was not known, or the code was changed since that commit."""
    RETRACTED = "retracted"
    """The product, or something it was made of, was retracted."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A trouble of one file or product."""

    path: str
    trouble: Trouble
    detail: str
    """What is wrong with it, and what to do."""

    def __str__(self) -> str:
        return f"{self.trouble}: {self.path}: {self.detail}"


def verify(store: Store, holdings: Holdings, *, hashing: bool = True) -> Iterator[Finding]:
    """Everything that is wrong with a store.

    A product whose own file or manifest is bad is reported once; what was made of it is not reported for it.

    Parameters
    ----------
    hashing
        Whether the content of every file is read and hashed; else only its size is compared.
    """
    yield from (
        Finding(path, Trouble.FOREIGN, "belongs to no kind of product; move it away") for path in holdings.foreign
    )
    yield from _stray_files(holdings)
    marks = retractions(store)
    for manifest in holdings.manifests.values():
        yield from _of_file(store, holdings, manifest, hashing=hashing)
        yield from _of_recipe(manifest)
        yield from _of_inputs(holdings, manifest)
        if manifest.recipe is not None and (manifest.git in _NO_COMMIT or manifest.git.endswith(_DIRTY)):
            detail = f"made by {manifest.package} at commit {manifest.git or 'unknown'!r}; make it again by a known one"
            yield Finding(manifest.ref.path, Trouble.UNKNOWN_CODE, detail)
        mark = marks.get(manifest.ref.address)
        if mark is not None and mark.sha256 == manifest.sha256:
            yield Finding(manifest.ref.path, Trouble.RETRACTED, f"{mark.reason}; see `ztf retract`")


def _stray_files(holdings: Holdings) -> Iterator[Finding]:
    """Files that no manifest vouches for, and manifests that are none."""
    manifests = {manifest_path(manifest.ref) for manifest in holdings.manifests.values()}
    vouched = {file_path(manifest.ref) for manifest in holdings.manifests.values()}
    for path in sorted(set(holdings.files) - manifests - vouched):
        folder, _, name = path.rpartition("/")
        if name == MANIFEST:
            yield Finding(path, Trouble.BAD_MANIFEST, "cannot be read, or belongs elsewhere; make the product again")
        elif f"{folder}/{MANIFEST}" in manifests:
            yield Finding(path, Trouble.FOREIGN, "lies beside a product, whose manifest does not name it; move it away")
        elif f"{folder}/{MANIFEST}" not in holdings.files:  # else its manifest is what is wrong
            yield Finding(path, Trouble.ORPHAN, "has no manifest, so is no product; make it again, or `ztf gc`")


def _of_file(store: Store, holdings: Holdings, manifest: Manifest, *, hashing: bool) -> Iterator[Finding]:
    path = file_path(manifest.ref)
    stat = holdings.files.get(path)
    if stat is None:
        yield Finding(path, Trouble.NO_FILE, "has a manifest only; make it again")
    elif stat.size != manifest.size:
        yield Finding(path, Trouble.DAMAGED, f"has {stat.size} bytes, expected {manifest.size}; make it again")
    elif hashing and (actual := store.hashed(manifest.ref)) != manifest.sha256:
        yield Finding(path, Trouble.DAMAGED, f"has sha256 {actual}, expected {manifest.sha256}; make it again")


def _of_recipe(manifest: Manifest) -> Iterator[Finding]:
    """Whether address and fingerprint follow from what is noted."""
    ref = manifest.ref
    if manifest.recipe is not None and digest_of_text(manifest.recipe) != ref.recipe:
        detail = f"recipe noted has the digest {digest_of_text(manifest.recipe)}, expected {ref.recipe}; make it again"
        yield Finding(ref.path, Trouble.OTHER_RECIPE, detail)
        return
    expected = {
        fingerprint_of_text(ref.kind, manifest.recipe, manifest.inputs, camera) for camera in (None, *CAMERAS.values())
    }
    if manifest.fingerprint not in expected:
        detail = "its fingerprint is not that of its recipe and inputs with any camera known here; make it again"
        yield Finding(ref.path, Trouble.OTHER_FINGERPRINT, detail)


def _of_inputs(holdings: Holdings, manifest: Manifest) -> Iterator[Finding]:
    for product in manifest.inputs:
        noted = holdings.manifests.get(product.ref.address)
        if noted is not None and noted.sha256 != product.sha256:
            detail = f"{product.ref.address} was {product.sha256[:12]}, is {noted.sha256[:12]}; make it again"
            yield Finding(manifest.ref.path, Trouble.CHANGED_INPUT, detail)
        elif noted is None and is_stored(product.ref) and not _is_there(holdings, product.ref):
            detail = f"{product.ref.address} is not in this store; fetch or make it again"
            yield Finding(manifest.ref.path, Trouble.LOST_INPUT, detail)


def is_stored(ref: ProductRef) -> bool:
    """Whether an input is a product, not a file from outside or an operator's word, which no store has."""
    return ref.recipe != NO_RECIPE or ref.kind in FETCHED


def _is_there(holdings: Holdings, ref: ProductRef) -> bool:
    """Whether there is anything at the address: if it is bad, that is reported of it."""
    return file_path(ref) in holdings.files or manifest_path(ref) in holdings.files
