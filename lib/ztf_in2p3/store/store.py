"""What has been made, and whether it still is what it was."""

from __future__ import annotations

import builtins
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ztf_in2p3 import recipes
from ztf_in2p3.camera import Camera
from ztf_in2p3.errors import MissingProduct, TransientError
from ztf_in2p3.products import Built, Kind, ProductRef
from ztf_in2p3.store.backends import Files, Stat
from ztf_in2p3.store.index import Row, group, index_path, read_index, write_index
from ztf_in2p3.store.manifest import Manifest, Provenance, fingerprint, plain

MANIFEST = "manifest.json"
_AT_ONCE = 16
"""Manifests read at the same time where an index lacks them."""
_TRIES = 5
"""Looks at a product that is being rewritten."""


@dataclass(frozen=True)
class Store:
    """Products in one place; the only truth about what exists.

    A product is there if its manifest is, and if the file is what the manifest says.  Writers
    remove the old manifest, put the new file in place whole, and write the new manifest last;
    so a reader at any moment, and a writer killed at any moment, leave the old product, none,
    or the new one.  Until the new file is complete the old product stays: a remake that fails
    takes nothing away.  Everything pickles and can be used from many processes at once.
    """

    files: Files
    provenance: Provenance
    camera: Camera | None = None
    """What the products that are built are of; part of the fingerprint of each that is computed."""

    def __repr__(self) -> str:
        return f"Store {self.files.uri('')}" + (f" (camera {self.camera.name})" if self.camera else "")

    def build(
        self,
        ref: ProductRef,
        recipe: object | None,
        inputs: Sequence[Built],
        make: Callable[[Path], Mapping[str, Any] | None],
        is_outdated: Callable[[Built], bool] | None = None,
    ) -> Built:
        """The product made by this recipe of these inputs: found if it is there, else made.

        Parameters
        ----------
        recipe
            None for what is not computed here.
        inputs
            In a fixed order, which is part of the product's fingerprint.
        make
            Writes the file to the path it is given (a hard link to an existing file will do) and
            returns small facts to note in the manifest.
        is_outdated
            Asked of a product that is there, whether it is to be made again all the same: for what came from outside
            and may have changed there.

        Raises
        ------
        ValueError
            The address belongs to another recipe, or `make` wrote nothing.
        """
        if recipe is not None and recipes.digest(recipe) != ref.recipe:
            raise ValueError(
                f"{ref.path} is no address of a product of {recipe}: its digest is {recipes.digest(recipe)}"
            )
        expected = fingerprint(ref.kind, recipe, inputs, self.camera)

        stored = self._found(ref)
        if stored is not None and stored.fingerprint == expected and not (is_outdated and is_outdated(stored.built)):
            return stored.built

        started, wall, cpu = self.provenance.now(), self.provenance.wall(), self.provenance.cpu()
        with self.files.spool() as folder:
            file = folder / ref.file_name
            about = plain(make(file) or {})
            if file.is_symlink() or not file.is_file():
                raise ValueError(
                    f"{ref.label}: expected to be given the file {ref.file_name}, found none after making it"
                )
            manifest = Manifest(
                ref,
                _sha256(file),
                file.stat().st_size,
                "",
                tuple(inputs),
                None if recipe is None else recipes.canonical(recipe),
                expected,
                self.provenance.package,
                self.provenance.git,
                self.provenance.host,
                started,
                self.provenance.wall() - wall,
                self.provenance.cpu() - cpu,
                about,
            )
            self.files.remove(_manifest_path(ref))
            stat = self.files.publish(file, _path(ref), manifest.sha256)
            self._write(replace(manifest, stamp=stat.stamp))
        return replace(manifest.built, found=False)

    def find(self, ref: ProductRef) -> Built | None:
        """The product at this address, whatever it was made of; None if there is none.

        Size and stamp are compared with the manifest; the content only where the stamp differs.
        """
        manifest = self._found(ref)
        return None if manifest is None else manifest.built

    def require(self, ref: ProductRef) -> Built:
        """The product at this address, whatever it was made of; MissingProduct if there is none."""
        product = self.find(ref)
        if product is None:
            raise MissingProduct(f"{ref.label} is not in {self.uri(ref)}; run the flow that makes it first")
        return product

    @contextmanager
    def open(self, product: Built | ProductRef) -> Iterator[Path]:
        """A local file with the verified content of a product, unaffected by later writers.

        Its name is the product's; it may be gone at the end.  Given a `Built`, the content is
        exactly what was built.

        Raises
        ------
        MissingProduct
            It is not there, or is not what it was: it was damaged (then it counts as missing
            from now on, and the next run makes it again) or made anew of other inputs.
        """
        with ExitStack() as stack:
            yield self._verified(product, stack)

    def list(self, kind: Kind, recipe: str | None = None, prefix: str = "") -> builtins.list[Built]:
        """All products of a kind that are there, sorted; of one recipe, of data ids that start with the prefix.

        One listing and one read a night (the index), however many products the night has.
        """
        listed = [
            built
            for digest in (self.files.folders(kind) if recipe is None else [recipe])
            for built in self._list(f"{kind}/{digest}", prefix)
        ]
        return sorted(listed, key=lambda built: built.ref)

    def remove(self, ref: ProductRef) -> None:
        """Take a product away; that it is not there is no error."""
        self.files.remove(_manifest_path(ref))
        self.files.remove(_path(ref))

    def verify(self, kind: Kind | None = None) -> builtins.list[str]:
        """Hash every product (of one kind) and say what is wrong; empty if nothing is."""
        return [problem for checked in (Kind if kind is None else [kind]) for problem in self._problems(checked)]

    def manifest(self, ref: ProductRef) -> Manifest:
        """What is noted about a product; MissingProduct if nothing is."""
        manifest = self._manifest(ref)
        if manifest is None:
            raise MissingProduct(f"{ref.label} has no manifest in {self.uri(ref)}; run the flow that makes it first")
        return manifest

    def uri(self, ref: ProductRef) -> str:
        """Address of a product's file."""
        return self.files.uri(_path(ref))

    # --- one product

    def _manifest(self, ref: ProductRef) -> Manifest | None:
        manifest = _parsed(_manifest_path(ref), self.files.read(_manifest_path(ref)))
        return manifest if manifest is not None and manifest.ref.file_name == ref.file_name else None

    def _write(self, manifest: Manifest) -> None:
        self.files.write(_manifest_path(manifest.ref), str(manifest).encode())

    def _found(self, ref: ProductRef) -> Manifest | None:
        manifest, stat = self._manifest(ref), self.files.stat(_path(ref))
        if manifest is None or stat is None or stat.size != manifest.size:
            return None
        if stat.stamp == manifest.stamp:
            return manifest
        try:
            with self.files.local(_path(ref)) as file:
                if _sha256(file) != manifest.sha256:
                    return None
        except FileNotFoundError:
            return None
        with suppress(OSError, TransientError):  # only to spare the next reader the work
            if self._manifest(ref) == manifest:
                self._write(replace(manifest, stamp=stat.stamp))
        return manifest

    def _verified(self, product: Built | ProductRef, stack: ExitStack) -> Path:
        ref, expected = (product.ref, product.sha256) if isinstance(product, Built) else (product, None)
        file, actual = self._local(ref, stack) if expected else (None, None)
        if file is not None and actual == expected:
            return file
        before = None
        for _ in range(_TRIES):
            manifest = self._manifest(ref)
            if manifest is None:
                raise MissingProduct(f"{ref.label} is not in {self.uri(ref)}; run the flow that makes it first")
            if manifest == before:  # no writer was here: they remove the manifest first
                with suppress(OSError):
                    self.files.remove(_manifest_path(ref))
                raise MissingProduct(
                    f"{self.uri(ref)} was damaged: sha256 {actual}, expected {manifest.sha256}; "
                    "run the flow that makes it again"
                )
            file, actual = self._local(ref, stack)
            if file is not None and actual == manifest.sha256:
                if expected in (None, actual):
                    return file
                raise MissingProduct(
                    f"{self.uri(ref)} was made anew since it was looked up: sha256 {actual}, expected {expected}; "
                    "start this run again"
                )
            before = manifest
        raise TransientError(f"{self.uri(ref)} is being rewritten faster than it can be read; try again")

    def _local(self, ref: ProductRef, stack: ExitStack) -> tuple[Path | None, str | None]:
        try:
            file = stack.enter_context(self.files.local(_path(ref)))
        except FileNotFoundError:
            return None, None
        return file, _sha256(file)

    # --- many products

    def _list(self, folder: str, prefix: str) -> builtins.list[Built]:
        files = self.files.list(folder, _safe(prefix))
        groups: dict[str, dict[str, Stat]] = {}
        for path, stat in files.items():
            data_id, _, name = path.removeprefix(f"{folder}/").rpartition("/")
            if name == MANIFEST and data_id.startswith(prefix):
                groups.setdefault(group(data_id), {})[path] = stat
        return [
            built
            for name, listed in groups.items()
            for manifest in self._indexed(index_path(folder, name), listed, f"{folder}/{prefix}")
            if (built := self._as_listed(manifest, files.get(_path(manifest.ref)))) is not None
        ]

    def _as_listed(self, manifest: Manifest, stat: Stat | None) -> Built | None:
        if stat == Stat(manifest.size, manifest.stamp):
            return manifest.built
        return None if stat is None else self.find(manifest.ref)

    def _indexed(self, index: str, listed: Mapping[str, Stat], scope: str) -> Iterable[Manifest]:
        """The manifests listed, from the index where it has them; it is brought up to date within the scope."""
        known = read_index(self.files, index)
        rows = {path: known[path] for path, stat in listed.items() if path in known and known[path].stat == stat}
        manifests = {path: manifest for path, row in rows.items() if (manifest := _parsed(path, row.text.encode()))}
        new = [path for path in listed if path not in manifests]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for path, content in zip(new, pool.map(self.files.read, new), strict=True):
                manifest = _parsed(path, content)
                if manifest is not None:
                    manifests[path], rows[path] = manifest, Row(listed[path], str(manifest))
        kept = {path: rows[path] for path in manifests}
        kept |= {path: row for path, row in known.items() if not path.startswith(scope)}
        if kept != known:
            with suppress(OSError, TransientError):  # the index only spares work
                write_index(self.files, index, kept)
        return manifests.values()

    def _problems(self, kind: Kind) -> Iterator[str]:
        files = self.files.list(kind)
        for path in sorted(files):
            folder, _, name = path.rpartition("/")
            if name != MANIFEST:
                if f"{folder}/{MANIFEST}" not in files:
                    yield f"{self.files.uri(path)} has no manifest, so is no product; remove it or make it again"
                continue
            manifest = _parsed(path, self.files.read(path))
            if manifest is None:
                yield f"{self.files.uri(path)} is no manifest of this place; make the product again"
                continue
            with ExitStack() as stack:
                _, actual = self._local(manifest.ref, stack)
            if actual != manifest.sha256:
                yield (
                    f"{self.uri(manifest.ref)} is not what its manifest says: sha256 "
                    f"{actual or 'of nothing: no file'}, expected {manifest.sha256}; make it again"
                )


def _parsed(path: str, content: bytes | None) -> Manifest | None:
    """A manifest, if it is one and belongs where it lies."""
    if content is None:
        return None
    try:
        manifest = Manifest.parse(content.decode())
        return manifest if _manifest_path(manifest.ref) == path else None
    except ValueError:
        return None


def _path(ref: ProductRef) -> str:
    if "/" in ref.file_name or ref.file_name == MANIFEST:
        raise ValueError(f"{ref.file_name!r} cannot be the name of a product's file")
    return _safe(ref.path)


def _manifest_path(ref: ProductRef) -> str:
    return _safe(f"{ref.address}/{MANIFEST}")


def _safe(path: str) -> str:
    if path.startswith("/") or "//" in path or {".", ".."} & set(path.split("/")):
        raise ValueError(f"{path!r} would lead out of the store")
    return path


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
