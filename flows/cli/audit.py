"""``ztf ls``, ``explain``, ``verify``, ``diff`` and ``retract``: a store looked at and repaired, without a server."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ztf_in2p3.errors import Mistyped

if TYPE_CHECKING:
    from ztf_in2p3.products import Kind
    from ztf_in2p3.store import Store


def ls(
    store: str,
    *,
    by: Literal["kind", "night", "ccd", "product"] = "kind",
    kinds: tuple[str, ...] = (),
    nights: tuple[str, ...] = (),
    ccds: tuple[int, ...] = (),
    json: bool = False,
) -> int:
    """List what a store holds: by kind, night or CCD, or product by product.

    Parameters
    ----------
    store
        Folder or s3://bucket/prefix.
    by
        What shares a row; kind and recipe always do.  The night of a product of a period is its first.
    kinds
        Kinds of products, as bias flat apcat; all if not given.
    nights
        Nights, months or years: 20190405, 201904; all if not given.
    ccds
        CCDs, 1 to 16; all products if not given.
    json
        Write JSON instead of a table.
    """
    from ztf_in2p3.audit.contents import rows_of, table_lines
    from ztf_in2p3.audit.holdings import holdings_of
    from ztf_in2p3.audit.retraction import retractions

    place = _store(store)
    rows = rows_of(holdings_of(place, _kinds(kinds)), by, retractions(place), nights=nights, ccds=ccds)
    _write([_json(rows)] if json else table_lines(rows) if rows else ["nothing"])
    return 0


def explain(product: str, *, store: str | None = None, json: bool = False) -> int:
    """Say what a product is made of, down to the raw files, by which recipes and which code.

    A file of one's own, copied from a store, is recognised in the store by its content, whatever it is called now;
    without --store it is asked what its own header or metadata say.

    Parameters
    ----------
    product
        Address, path or file name of a product, as `ztf ls --by product` lists them, or a file.
    store
        Folder or s3://bucket/prefix.
    json
        Write JSON instead of text.
    """
    from ztf_in2p3.audit.ancestry import ancestry, ancestry_lines, carried
    from ztf_in2p3.audit.holdings import holdings_of
    from ztf_in2p3.store.records import sha256_of

    file = Path(product).expanduser()
    if store is None:
        if not file.is_file():
            raise Mistyped(f"{product!r} is no file here; give --store to look a product up")
        facts = carried(file)
        _write([_json(facts)] if json else [f"{key} = {value}" for key, value in facts.items()])
        return 0
    holdings = holdings_of(_store(store))
    if file.is_file():
        digest = sha256_of(file)
        meant = [address for address, manifest in holdings.manifests.items() if manifest.sha256 == digest]
        if not meant:
            raise Mistyped(
                f"{product}: no product of {store} has its content, sha256 {digest}; it was changed, or removed"
            )
    else:
        meant = [holdings.named(product).ref.address]
    for address in meant:
        _write([_json(ancestry(holdings, address))] if json else ancestry_lines(holdings, address))
    return 0


def verify(store: str, *, kinds: tuple[str, ...] = (), quick: bool = False, json: bool = False) -> int:
    """Look for everything that can be wrong with the products of a store.

    Files are hashed; recipes and fingerprints are computed again; files without a manifest and such as are not ours,
    products whose inputs were made anew or are gone, retracted ones, and those of unknown code are named.  It ends with
    0 if nothing is wrong, with 1 otherwise, and changes nothing.

    Parameters
    ----------
    store
        Folder or s3://bucket/prefix.
    kinds
        Kinds of products that are reported; all if not given.
    quick
        Compare sizes only: no file is read.
    json
        Write JSON instead of text.
    """
    from ztf_in2p3.audit.findings import verify as findings_of
    from ztf_in2p3.audit.holdings import holdings_of

    place, chosen = _store(store), tuple(f"{kind}/" for kind in _kinds(kinds))
    holdings = holdings_of(place)  # all of it: inputs are of other kinds
    findings = [
        finding
        for finding in findings_of(place, holdings, hashing=not quick)
        if not chosen or finding.path.startswith(chosen)
    ]
    if json:
        rows = [{"path": finding.path, "trouble": finding.trouble, "detail": finding.detail} for finding in findings]
        _write([_json(rows)])
    else:
        _write([*map(str, findings), f"{len(holdings.manifests)} products, {len(findings)} findings"])
    return 1 if findings else 0


def diff(first: str, second: str, *, store: str | None = None, other_store: str | None = None) -> int:
    """Compare two products or files: headers, tables and pixels, with figures.

    It ends with 0 if they say the same, with 1 otherwise.

    Parameters
    ----------
    first, second
        Files, or products of the store by address, path or file name.
    store
        Folder or s3://bucket/prefix of the products.
    other_store
        Store of the second one, if it is another.
    """
    from ztf_in2p3.audit.difference import differences

    with _local(first, store) as before, _local(second, other_store or store) as after:
        rows = differences(before, after)
    _write([*map(str, rows)] or ["no difference"])
    return 1 if rows else 0


def retract(store: str, product: str, *, mark: str | None = None, remove: bool = False, withdraw: bool = False) -> int:
    """List what was made of a product that turned out bad; mark it all, or take it away to be made again.

    Without --mark, --remove or --withdraw nothing is changed.  A raw exposure or a master that is never to be used
    again is named in verdicts.toml of the deployments as well, so that the next run makes the others without it.

    Parameters
    ----------
    store
        Folder or s3://bucket/prefix.
    product
        A raw file or master: address, path or file name.
    mark
        Reason; the product and all that was made of it are marked with it, for ls, explain and verify.
    remove
        Take away what was made of the product, so that the next run makes it again; the product itself stays.
    withdraw
        Take back the marks that were set for the product.
    """
    if sum((mark is not None, remove, withdraw)) > 1:
        raise Mistyped("--mark, --remove and --withdraw exclude each other; give one of them")
    if mark is not None and not mark.strip():
        raise Mistyped("--mark: a reason is expected, as in --mark 'dome lights were on'")
    from ztf_in2p3.audit import retraction
    from ztf_in2p3.audit.holdings import holdings_of

    place = _store(store)
    holdings = holdings_of(place)
    source = holdings.named(product)
    if withdraw:
        freed = retraction.unmark(place, source)
        _write([*freed, f"{len(freed)} marks taken back"])
        return 0
    made = retraction.affected(holdings, source)
    done = "would be made again by --remove, marked by --mark REASON"
    if mark is not None:
        retraction.mark(place, source, made, mark)
        done = f"marked, and {source.ref.address} itself"
    if remove:
        retraction.remove(place, made)
        done = "removed; run the flows that make them again"
    cost = sum(manifest.cpu_s for manifest in made)
    _write([*(manifest.ref.address for manifest in made), f"{len(made)} products of {cost:.1f} CPU s: {done}"])
    return 0


def gc(
    store: str, releases: tuple[Path, ...], *, kinds: tuple[str, ...] = (), remove: bool = False, json: bool = False
) -> int:
    """List the products that no release refers to; take them away if told to.

    Kept are products by the recipes of the releases, all that they were made of, everything that was fetched, and the
    verdicts, figures and pages of what is kept.  Products of recipes that no release names (of PSFs and light curves,
    for instance) are listed: say by --kinds which are meant.

    Parameters
    ----------
    store
        Folder or s3://bucket/prefix.
    releases
        Files of the releases that are kept, as deployments/releases/toy.toml.
    kinds
        Kinds of products that are listed or removed; all if not given.
    remove
        Remove what is listed; else nothing is changed.
    json
        Write JSON instead of text.
    """
    from ztf_in2p3.audit.garbage import collect_garbage, garbage
    from ztf_in2p3.audit.holdings import holdings_of
    from ztf_in2p3.release.definition import Release

    digests = {digest for path in releases for digest in Release.read(path).digests()}
    place, chosen = _store(store), _kinds(kinds)
    holdings = holdings_of(place)
    if not any(manifest.ref.recipe in digests for manifest in holdings.manifests.values()):
        raise Mistyped(f"{store} has no product of these releases, so nothing would be kept; are they the right files?")
    unused = [manifest for manifest in garbage(holdings, digests) if not chosen or manifest.ref.kind in chosen]
    if remove:
        collect_garbage(place, unused)
    size = sum(manifest.size for manifest in unused)
    addresses = [manifest.ref.address for manifest in unused]
    done = "removed" if remove else "no release refers to them; --remove takes them away"
    _write([_json(addresses)] if json else [*addresses, f"{len(unused)} products, {size / 1e9:.3g} GB: {done}"])
    return 0


def _store(url: str) -> Store:
    """The store at an address, which must be there."""
    from tasks.runtime.settings import store_at

    store = store_at(url)
    if absence := store.files.absence():
        raise Mistyped(f"{url}: {absence}")
    return store


def _kinds(words: Iterable[str]) -> list[Kind]:
    from ztf_in2p3.products import Kind

    strange = sorted(set(words) - set(Kind))
    if strange:
        raise Mistyped(f"--kinds: no kind {', '.join(strange)}; expected among {', '.join(Kind)}")
    return [Kind(word) for word in words]


@contextmanager
def _local(text: str, store: str | None) -> Iterator[Path]:
    """A local file of what was named: a file, or a product of the store."""
    path = Path(text).expanduser()
    if path.is_file():
        yield path
    elif store is None:
        raise Mistyped(f"{text!r} is no file here; give --store to look a product up")
    else:
        from ztf_in2p3.audit.holdings import holdings_of

        place = _store(store)
        with place.open(holdings_of(place).named(text).ref) as file:
            yield file


def _json(value: Any) -> str:
    from json import dumps

    return dumps(value, indent=1, default=str)


def _write(lines: Iterable[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
