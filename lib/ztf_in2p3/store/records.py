"""A product's file and the manifest that vouches for it."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ztf_in2p3.errors import MissingProduct, TransientError
from ztf_in2p3.products import Built, ProductRef
from ztf_in2p3.store.backends import Files
from ztf_in2p3.store.manifest import Manifest

MANIFEST = "manifest.json"
_TRIES = 5
"""Readings of a product that is being rewritten, before it is given up."""


@dataclass(frozen=True)
class Records:
    """Manifests and files of products in one place."""

    files: Files

    def manifest(self, ref: ProductRef) -> Manifest | None:
        """What is noted about a product; None if nothing is."""
        manifest = parsed(manifest_path(ref), self.files.read(manifest_path(ref)))
        return manifest if manifest is not None and manifest.ref.file_name == ref.file_name else None

    def write(self, manifest: Manifest) -> None:
        """Note a product, which exists from now on."""
        self.files.write(manifest_path(manifest.ref), str(manifest).encode())

    def valid(self, ref: ProductRef) -> Manifest | None:
        """The manifest of a product whose file is what it says; None where there is no such product.

        The content is hashed only where size is right and stamp is not.
        """
        manifest, stat = self.manifest(ref), self.files.stat(file_path(ref))
        if manifest is None or stat is None or stat.size != manifest.size:
            return None
        if stat.stamp == manifest.stamp:
            return manifest
        try:
            with self.files.local(file_path(ref)) as file:
                if sha256_of(file) != manifest.sha256:
                    return None
        except FileNotFoundError:
            return None
        with suppress(OSError, TransientError):  # only to spare the next reader the work
            if self.manifest(ref) == manifest:
                self.write(replace(manifest, stamp=stat.stamp))
        return manifest

    def verified(self, product: Built | ProductRef, stack: ExitStack) -> Path:
        """A local file with the content that was built, or that the manifest vouches for; until the stack is closed.

        Raises
        ------
        MissingProduct
            It is not there, is damaged (then its manifest is removed) or was made anew.
        TransientError
            It is rewritten all the time.
        """
        ref, expected = (product.ref, product.sha256) if isinstance(product, Built) else (product, None)
        file, actual = self.hashed(ref, stack) if expected else (None, None)
        if file is not None and actual == expected:
            return file
        before = None
        for _ in range(_TRIES):
            manifest = self.manifest(ref)
            if manifest is None:
                raise MissingProduct(f"{ref.label} is not in {self.uri(ref)}; run the flow that makes it first")
            if manifest == before:  # no writer was here: they remove the manifest first
                with suppress(OSError):
                    self.files.remove(manifest_path(ref))
                raise MissingProduct(
                    f"{self.uri(ref)} was damaged: sha256 {actual}, expected {manifest.sha256}; "
                    "run the flow that makes it again"
                )
            file, actual = self.hashed(ref, stack)
            if file is not None and actual == manifest.sha256:
                if expected in (None, actual):
                    return file
                raise MissingProduct(
                    f"{self.uri(ref)} was made anew since it was looked up: sha256 {actual}, expected {expected}; "
                    "start this run again"
                )
            before = manifest
        raise TransientError(f"{self.uri(ref)} is being rewritten faster than it can be read; try again")

    def hashed(self, ref: ProductRef, stack: ExitStack) -> tuple[Path | None, str | None]:
        """A product's local file and its sha256, whatever its manifest says; None twice if there is no file."""
        try:
            file = stack.enter_context(self.files.local(file_path(ref)))
        except FileNotFoundError:
            return None, None
        return file, sha256_of(file)

    def uri(self, ref: ProductRef) -> str:
        """Address of a product's file."""
        return self.files.uri(file_path(ref))


def parsed(path: str, content: bytes | None) -> Manifest | None:
    """A manifest, if it is one and belongs where it lies."""
    if content is None:
        return None
    try:
        manifest = Manifest.parse(content.decode())
        return manifest if manifest_path(manifest.ref) == path else None
    except ValueError:
        return None


def file_path(ref: ProductRef) -> str:
    """Path of a product's file in the store; ValueError if it would lead out of it."""
    if "/" in ref.file_name or ref.file_name == MANIFEST:
        raise ValueError(f"{ref.file_name!r} cannot be the name of a product's file")
    return safe(ref.path)


def manifest_path(ref: ProductRef) -> str:
    """Path of a product's manifest in the store; ValueError if it would lead out of it."""
    return safe(f"{ref.address}/{MANIFEST}")


def safe(path: str) -> str:
    """The same path; ValueError if it would lead out of the store."""
    if path.startswith("/") or "//" in path or {".", ".."} & set(path.split("/")):
        raise ValueError(f"{path!r} would lead out of the store")
    return path


def sha256_of(file: Path) -> str:
    """Digest of a file's content."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
