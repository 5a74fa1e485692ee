"""What a store holds: every file and every manifest of it, taken in one pass."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ztf_in2p3.errors import Mistyped
from ztf_in2p3.products import Kind
from ztf_in2p3.store import Manifest, Store
from ztf_in2p3.store.backends import Stat
from ztf_in2p3.store.records import MANIFEST

_SHOWN = 5
"""Candidates listed where a name fits several products."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """Files and manifests of a store at one moment."""

    files: Mapping[str, Stat]
    """Files by path, those of kinds of products only."""
    manifests: Mapping[str, Manifest]
    """Manifests by the address of their product; whether its file is as it should be is another question."""
    foreign: Sequence[str]
    """Paths of files that belong to no kind of product."""

    def children(self) -> dict[str, list[str]]:
        """Addresses of what was made directly of each product, by its address."""
        children = defaultdict(list)
        for address, manifest in self.manifests.items():
            for parent in dict.fromkeys(product.ref.address for product in manifest.inputs):
                children[parent].append(address)
        return children

    def descendants(self, address: str) -> list[str]:
        """Addresses of everything made of a product, directly or not; what is made of others of them comes later."""
        children = self.children()
        ordered: dict[str, None] = {}
        finished: set[str] = set()
        waiting = [(address, False)]
        while waiting:  # depth first, each noted after all that is made of it, then turned round
            product, is_done = waiting.pop()
            if is_done:
                ordered[product] = None
            elif product not in finished:
                finished.add(product)
                waiting.append((product, True))
                waiting += [(child, False) for child in children.get(product, ())]
        return [product for product in reversed(ordered) if product != address]

    def ancestors(self, addresses: Iterable[str]) -> set[str]:
        """Addresses of all that some products were made of, as far as the store has it; they themselves included."""
        kept: set[str] = set()
        waiting = list(addresses)
        while waiting:
            address = waiting.pop()
            if address in self.manifests and address not in kept:
                kept.add(address)
                waiting += [product.ref.address for product in self.manifests[address].inputs]
        return kept

    def named(self, text: str) -> Manifest:
        """The product that a person means: by address, path, file name or the words of its label.

        Raises
        ------
        Mistyped
            No product, or several, are called so.
        """
        word = text.strip("/").removesuffix(f"/{MANIFEST}")
        if word in self.manifests:
            return self.manifests[word]
        meant = [manifest for manifest in self.manifests.values() if _is_called(manifest, word)]
        if len(meant) == 1:
            return meant[0]
        if not meant:
            raise Mistyped(
                f"no product is called {text!r}; expected an address like bias/3f2a9c1b0e/20190405_20190405/c03, or "
                "the name of a file, as `ztf ls --by product` lists them"
            )
        listed = ", ".join(sorted(manifest.ref.address for manifest in meant)[:_SHOWN])
        raise Mistyped(f"{len(meant)} products are called {text!r}; say which: {listed}")


def holdings_of(store: Store, kinds: Sequence[Kind] = ()) -> Holdings:
    """Everything that a store holds, or what it holds of some kinds; no file of a product is opened."""
    return _holdings(store, {kind: store.files.list(kind) for kind in kinds} if kinds else _listed(store))


def _listed(store: Store) -> dict[str, Mapping[str, Stat]]:
    """Files of the store by the folder they are in; those of the store itself are left out."""
    listed: dict[str, dict[str, Stat]] = defaultdict(dict)
    for path, stat in store.files.list("").items():
        folder, slash, _ = path.partition("/")
        if not path.startswith("."):
            listed[folder if slash else ""][path] = stat
    return dict(listed)


def _holdings(store: Store, listed: Mapping[str, Mapping[str, Stat]]) -> Holdings:
    known = {str(kind) for kind in Kind}
    files = {path: stat for folder, within in listed.items() if folder in known for path, stat in within.items()}
    foreign = sorted(path for folder, within in listed.items() if folder not in known for path in within)
    manifests = {manifest.ref.address: manifest for manifest in store.noted(files).values()}
    return Holdings(files, dict(sorted(manifests.items())), foreign)


def _is_called(manifest: Manifest, word: str) -> bool:
    ref = manifest.ref
    return word in (ref.file_name, ref.path, ref.label) or word.endswith((f"/{ref.path}", f"/{ref.address}"))
