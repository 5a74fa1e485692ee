"""What has been made, and whether it still is what it was."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from ztf_in2p3 import recipes
from ztf_in2p3.camera import Camera
from ztf_in2p3.errors import BadData, MissingProduct, TransientError
from ztf_in2p3.products import Built, Kind, ProductRef
from ztf_in2p3.store.backends import Files, Stat
from ztf_in2p3.store.joint import JointlyBuilt, JointProduct, Once
from ztf_in2p3.store.listing import listed_products, noted_manifests, problems
from ztf_in2p3.store.manifest import Manifest, Provenance, fingerprint, plain
from ztf_in2p3.store.records import Records, file_path, manifest_path, sha256_of

T = TypeVar("T")


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

    @property
    def _records(self) -> Records:
        return Records(self.files)

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

        stored = self._records.valid(ref)
        if stored is not None and stored.fingerprint == expected and not (is_outdated and is_outdated(stored.built)):
            return stored.built

        started, wall, cpu = self.provenance.now(), self.provenance.wall(), self.provenance.cpu()
        with self.files.staging() as folder:
            file = folder / ref.file_name
            about = plain(make(file) or {})
            if file.is_symlink() or not file.is_file():
                raise ValueError(
                    f"{ref.label}: expected to be given the file {ref.file_name}, found none after making it"
                )
            manifest = Manifest(
                ref,
                sha256_of(file),
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
            self.files.remove(manifest_path(ref))
            stat = self.files.publish(file, file_path(ref), manifest.sha256)
            self._records.write(replace(manifest, stamp=stat.stamp))
        return replace(manifest.built, found=False)

    def build_all(
        self,
        products: Iterable[JointProduct[T]],
        recipe: object | None,
        inputs: Sequence[Built],
        compute: Callable[[], T],
    ) -> JointlyBuilt:
        """Products that are written from the result of one computation: those that are there are found.

        Each is built as by `build`, one after the other: a writer killed between two leaves the first, and the
        next run computes again for the others only.  A product that cannot be made costs none of the others.

        Parameters
        ----------
        products
            In the order in which they are written.
        recipe, inputs
            What all of them depend on, as in `build`.
        compute
            Runs once, before the first product that is missing is written; never if none is missing.  Where it
            fails, all products that are missing fail for the same reason.

        Raises
        ------
        TransientError
            After all were tried, if one may succeed later: the next try finds the others made.
        """
        result = Once(compute)
        built, failed = [], {}
        later: TransientError | None = None
        for product in products:
            needed = inputs if product.inputs is None else product.inputs
            try:
                built.append(self.build(product.ref, recipe, needed, _from(result, product)))
            except (BadData, MissingProduct) as error:
                failed[product.ref] = error
            except TransientError as error:
                later = error
        if later is not None:
            raise later
        return JointlyBuilt(tuple(built), failed)

    def find(self, ref: ProductRef) -> Built | None:
        """The product at this address, whatever it was made of; None if there is none.

        Size and stamp are compared with the manifest; the content only where the stamp differs.
        """
        manifest = self._records.valid(ref)
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
            yield self._records.verified(product, stack)

    def list(self, kind: Kind, recipe: str | None = None, prefix: str = "") -> builtins.list[Built]:
        """All products of a kind that are there, sorted; of one recipe, of data ids that start with the prefix.

        One listing and one read a night (the index), however many products the night has.
        """
        listed = [
            built
            for digest in (self.files.folders(kind) if recipe is None else [recipe])
            for built in listed_products(self._records, f"{kind}/{digest}", prefix)
        ]
        return sorted(listed, key=lambda built: built.ref)

    def remove(self, ref: ProductRef) -> None:
        """Take a product away; that it is not there is no error."""
        self.files.remove(manifest_path(ref))
        self.files.remove(file_path(ref))

    def verify(self, kind: Kind | None = None) -> builtins.list[str]:
        """Hash every product (of one kind) and say what is wrong; empty if nothing is."""
        return [
            problem for checked in (Kind if kind is None else [kind]) for problem in problems(self._records, checked)
        ]

    def manifest(self, ref: ProductRef) -> Manifest:
        """What is noted about a product; MissingProduct if nothing is."""
        manifest = self._records.manifest(ref)
        if manifest is None:
            raise MissingProduct(f"{ref.label} has no manifest in {self.uri(ref)}; run the flow that makes it first")
        return manifest

    def noted(self, files: Mapping[str, Stat]) -> dict[str, Manifest]:
        """Manifests among files listed, by their paths, whether or not their products are there."""
        return noted_manifests(self._records, files)

    def hashed(self, ref: ProductRef) -> str | None:
        """Digest of a product's file as it is now, whatever its manifest says; None if there is no file."""
        with ExitStack() as stack:
            return self._records.hashed(ref, stack)[1]

    def uri(self, ref: ProductRef) -> str:
        """Address of a product's file."""
        return self.files.uri(file_path(ref))


def _from(result: Once[T], product: JointProduct[T]) -> Callable[[Path], Mapping[str, Any] | None]:
    return lambda path: product.write(path, result())
