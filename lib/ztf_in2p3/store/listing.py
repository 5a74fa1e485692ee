"""Which products are there, and which of them are not what they were."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

from ztf_in2p3.errors import TransientError
from ztf_in2p3.products import Built, Kind
from ztf_in2p3.store.backends import Files, Stat
from ztf_in2p3.store.index import Row, group, index_path, read_index, write_index
from ztf_in2p3.store.manifest import Manifest
from ztf_in2p3.store.records import MANIFEST, Records, file_path, manifest_path, parsed, safe

_AT_ONCE = 16
"""Manifests read at the same time where an index lacks them."""


def listed_products(records: Records, folder: str, prefix: str) -> list[Built]:
    """The products of one kind and recipe that are there, of data ids that start with the prefix."""
    files = records.files.list(folder, safe(prefix))
    groups: dict[str, dict[str, Stat]] = {}
    for path, stat in files.items():
        data_id, _, name = path.removeprefix(f"{folder}/").rpartition("/")
        if name == MANIFEST and data_id.startswith(prefix):
            groups.setdefault(group(data_id), {})[path] = stat
    return [
        built
        for name, listed in groups.items()
        for manifest in _indexed(records.files, index_path(folder, name), listed, f"{folder}/{prefix}")
        if (built := _as_listed(records, manifest, files.get(file_path(manifest.ref)))) is not None
    ]


def noted_manifests(records: Records, files: Mapping[str, Stat]) -> dict[str, Manifest]:
    """Manifests among files that were listed, by their paths, whether or not their products are there.

    One read a night and recipe, if the indices are up to date; what is no manifest of its place is left out.
    """
    groups: dict[tuple[str, str], dict[str, Stat]] = {}
    for path, stat in files.items():
        kind, _, below = path.partition("/")
        recipe, _, below = below.partition("/")
        data_id, _, name = below.rpartition("/")
        if name == MANIFEST and data_id:
            groups.setdefault((f"{kind}/{recipe}", group(data_id)), {})[path] = stat
    return {
        manifest_path(manifest.ref): manifest
        for (folder, name), listed in groups.items()
        for manifest in _indexed(records.files, index_path(folder, name), listed, f"{folder}/")
    }


def problems(records: Records, kind: Kind) -> Iterator[str]:
    """What is wrong with the files of a kind, each hashed; nothing if all are well."""
    files = records.files.list(kind)
    for path in sorted(files):
        folder, _, name = path.rpartition("/")
        if name != MANIFEST:
            if f"{folder}/{MANIFEST}" not in files:
                yield f"{records.files.uri(path)} has no manifest, so is no product; remove it or make it again"
            continue
        manifest = parsed(path, records.files.read(path))
        if manifest is None:
            yield f"{records.files.uri(path)} is no manifest of this place; make the product again"
            continue
        with ExitStack() as stack:
            _, actual = records.hashed(manifest.ref, stack)
        if actual != manifest.sha256:
            yield (
                f"{records.uri(manifest.ref)} is not what its manifest says: sha256 "
                f"{actual or 'of nothing: no file'}, expected {manifest.sha256}; make it again"
            )


def _as_listed(records: Records, manifest: Manifest, stat: Stat | None) -> Built | None:
    if stat == Stat(manifest.size, manifest.stamp):
        return manifest.built
    valid = None if stat is None else records.valid(manifest.ref)
    return None if valid is None else valid.built


def _indexed(files: Files, index: str, listed: Mapping[str, Stat], scope: str) -> Iterable[Manifest]:
    """The manifests listed, from the index where it has them; it is brought up to date within the scope."""
    known = read_index(files, index)
    rows = {path: known[path] for path, stat in listed.items() if path in known and known[path].stat == stat}
    manifests = {path: manifest for path, row in rows.items() if (manifest := parsed(path, row.text.encode()))}
    new = [path for path in listed if path not in manifests]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for path, content in zip(new, pool.map(files.read, new), strict=True):
            manifest = parsed(path, content)
            if manifest is not None:
                manifests[path], rows[path] = manifest, Row(listed[path], str(manifest))
    kept = {path: rows[path] for path in manifests}
    kept |= {path: row for path, row in known.items() if not path.startswith(scope)}
    if kept != known:
        with suppress(OSError, TransientError):  # the index only spares work
            write_index(files, index, kept)
    return manifests.values()
