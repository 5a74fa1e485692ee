"""What a product was made of, down to the raw files, by which recipes and which code."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ztf_in2p3 import recipes
from ztf_in2p3.audit.holdings import Holdings
from ztf_in2p3.errors import BadData
from ztf_in2p3.hdus import read_primary
from ztf_in2p3.recipes.meanings import meanings_of
from ztf_in2p3.store import Manifest
from ztf_in2p3.store.records import sha256_of

_SHOWN = 4
"""Inputs of one kind that are listed before the others are only counted."""
_NOT_OF_THE_DATA = ("SIMPLE", "BITPIX", "NAXIS", "EXTEND", "CHECKSUM", "DATASUM", "COMMENT", "HISTORY", "")


def ancestry(holdings: Holdings, address: str) -> dict[str, Any]:
    """Facts of a product and of all that it was made of.

    Returns
    -------
    ``product``: the address; ``products``: by address, what the manifest of each says.  An input that the store does
    not have is noted by its digest only.
    """
    products: dict[str, dict[str, Any]] = {}
    waiting = [address]
    while waiting:
        name = waiting.pop()
        if name in products or name not in holdings.manifests:
            continue
        manifest = holdings.manifests[name]
        products[name] = facts_of(manifest)
        waiting += [product.ref.address for product in manifest.inputs]
        for product in manifest.inputs:
            if product.ref.address not in holdings.manifests:
                products[product.ref.address] = {
                    "label": product.ref.label,
                    "sha256": product.sha256,
                    "in_store": False,
                }
    return {"product": address, "products": products}


def facts_of(manifest: Manifest) -> dict[str, Any]:
    """What a manifest says, as plain values."""
    name, numbers = json.loads(manifest.recipe) if manifest.recipe else (None, None)
    return {
        "label": manifest.ref.label,
        "file": manifest.ref.path,
        "sha256": manifest.sha256,
        "bytes": manifest.size,
        "in_store": True,
        "package": manifest.package,
        "commit": manifest.git,
        "host": manifest.host,
        "made": manifest.started.isoformat(),
        "cpu_s": manifest.cpu_s,
        "recipe": None if name is None else {"name": name, "digest": manifest.ref.recipe, "numbers": numbers},
        "inputs": [{"address": product.ref.address, "sha256": product.sha256} for product in manifest.inputs],
        "about": dict(manifest.about),
    }


def ancestry_lines(holdings: Holdings, address: str) -> Iterator[str]:
    """The ancestry for a person: the product, its recipe in words, and the tree of what it was made of."""
    manifest = holdings.manifests[address]
    yield manifest.ref.label
    yield f"  file     {manifest.ref.path}, {manifest.size} bytes"
    yield f"  sha256   {manifest.sha256}"
    yield (
        f"  made     {manifest.started:%Y-%m-%d %H:%M:%S} on {manifest.host} by ztf-in2p3 {manifest.package} "
        f"({manifest.git or 'unknown commit'}), {manifest.cpu_s:.2f} CPU s"
    )
    yield from (f"  noted    {key} = {value}" for key, value in manifest.about.items())
    yield from (f"  {line}" for line in recipe_lines(manifest))
    yield "  made of" if manifest.inputs else "  made of  nothing in the store: it came from outside"
    yield from _tree(holdings, manifest, "    ", {address})


def _tree(holdings: Holdings, manifest: Manifest, indent: str, shown: set[str]) -> Iterator[str]:
    counted: dict[str, int] = {}
    for product in manifest.inputs:
        kind, name = str(product.ref.kind), product.ref.address
        counted[kind] = counted.get(kind, 0) + 1
        if counted[kind] > _SHOWN:
            continue
        noted = holdings.manifests.get(name)
        state = "" if noted is None or noted.sha256 == product.sha256 else ", CHANGED SINCE"
        where = f", recipe {product.ref.recipe}" if noted is not None and noted.recipe else ""
        again = " (above)" if name in shown and noted is not None and noted.inputs else ""
        absent = "" if noted is not None else ", not in this store"
        yield f"{indent}{product.ref.label}{where}, sha256 {product.sha256[:12]}{state}{absent}{again}"
        if noted is not None and name not in shown:
            shown.add(name)
            yield from _tree(holdings, noted, indent + "  ", shown)
    yield from (f"{indent}... {n - _SHOWN} more {kind}" for kind, n in counted.items() if n > _SHOWN)


def recipe_lines(manifest: Manifest) -> Iterator[str]:
    """The recipe in words: each number, whether it is the default's, and what it means."""
    if manifest.recipe is None:
        yield "recipe   none: it was not computed here"
        return
    name, numbers = json.loads(manifest.recipe)
    yield f"recipe   {name} {manifest.ref.recipe}"
    kind = getattr(recipes, name, None)
    meanings = meanings_of(kind) if isinstance(kind, type) and is_dataclass(kind) else {}
    default = json.loads(recipes.canonical(kind()))[1] if meanings and kind is not None else {}
    for field, value in numbers.items():
        is_default = field in default and default[field] == value
        text = f"a recipe of {len(value)} fields" if isinstance(value, Mapping) else json.dumps(value)
        note = "" if is_default else " (not the default)" if default else ""
        yield f"  {field} = {text}{note}{': ' + meanings[field] if meanings.get(field) else ''}"
        if isinstance(value, Mapping) and not is_default:
            yield from (f"    {line}" for line in _different(value, default.get(field) or {}))


def _different(value: Mapping[str, Any], default: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Numbers within a recipe that are not the default's."""
    for field, number in value.items():
        before = default.get(field)
        if isinstance(number, Mapping):
            yield from _different(number, before if isinstance(before, Mapping) else {}, f"{prefix}{field}.")
        elif number != before:
            yield f"{prefix}{field} = {json.dumps(number)}; by default {json.dumps(before)}"


def carried(path: Path) -> dict[str, Any]:
    """What a file tells of itself without a store: its digest, and its header or metadata.

    Raises
    ------
    BadData
        It is neither FITS nor Parquet.
    """
    about: dict[str, Any] = {"file": path.name, "sha256": sha256_of(path), "bytes": path.stat().st_size}
    with path.open("rb") as file:
        head = file.read(6)
    if head.startswith(b"PAR1"):
        try:
            metadata = pq.read_schema(path).metadata or {}
        except (pa.ArrowException, OSError) as error:
            raise BadData(f"{path} cannot be read as Parquet ({error}); fetch it again") from error
        return about | {
            key.decode(): value.decode(errors="replace") for key, value in metadata.items() if key != b"ARROW:schema"
        }
    if head == b"SIMPLE":
        header = read_primary(path)
        return about | {key: header[key] for key in header if key not in _NOT_OF_THE_DATA}
    raise BadData(f"{path} is neither FITS nor Parquet, so it tells nothing of itself; look it up with --store")
