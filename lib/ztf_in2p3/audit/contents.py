"""The contents of a store as a table: by kind, night or CCD, or product by product."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ztf_in2p3.audit.holdings import Holdings
from ztf_in2p3.audit.retraction import Retraction
from ztf_in2p3.products import ccdid_of
from ztf_in2p3.store import Manifest
from ztf_in2p3.store.index import group
from ztf_in2p3.store.records import file_path

GROUPINGS = ("kind", "night", "ccd", "product")


def rows_of(
    holdings: Holdings, by: str, marks: dict[str, Retraction], *, nights: Sequence[str] = (), ccds: Sequence[int] = ()
) -> list[dict[str, Any]]:
    """Rows of the table, sorted.

    Parameters
    ----------
    by
        What shares a row, one of `GROUPINGS`; kind and recipe always do.  The night of a product of a period is its
        first.
    nights
        Beginnings of data ids, as 201904 or 20190405; all if there are none.
    ccds
        Products of other CCDs, and of none, are left out; all if there are none.
    """
    grouped: dict[tuple[str, ...], list[Manifest]] = defaultdict(list)
    for manifest in holdings.manifests.values():
        ref = manifest.ref
        ccdid = _ccdid(manifest)
        if (nights and not ref.data_id.startswith(tuple(nights))) or (ccds and ccdid not in ccds):
            continue
        words = {"kind": "", "night": group(ref.data_id), "ccd": "" if ccdid is None else f"{ccdid:02d}"}
        grouped[str(ref.kind), ref.recipe, words.get(by, ref.data_id)].append(manifest)
    return [_row(holdings, key, by, members, marks) for key, members in sorted(grouped.items())]


def _row(
    holdings: Holdings, key: tuple[str, ...], by: str, members: Sequence[Manifest], marks: dict[str, Retraction]
) -> dict[str, Any]:
    kind, recipe, part = key
    of_part = {} if by == "kind" else {"data_id" if by == "product" else by: part}
    absent = sum(_is_absent(holdings, manifest) for manifest in members)
    return {
        "kind": kind,
        "recipe": recipe,
        **of_part,
        "products": len(members),
        "bytes": sum(manifest.size for manifest in members),
        "cpu_s": round(sum(manifest.cpu_s for manifest in members), 3),
        "absent": absent,
        "retracted": sum(_is_marked(manifest, marks) for manifest in members),
        **({"file": members[0].ref.file_name} if by == "product" else {}),
    }


def _is_absent(holdings: Holdings, manifest: Manifest) -> bool:
    """Whether the file is missing, or of another size."""
    stat = holdings.files.get(file_path(manifest.ref))
    return stat is None or stat.size != manifest.size


def _is_marked(manifest: Manifest, marks: dict[str, Retraction]) -> bool:
    mark = marks.get(manifest.ref.address)
    return mark is not None and mark.sha256 == manifest.sha256


def _ccdid(manifest: Manifest) -> int | None:
    try:
        return ccdid_of(manifest.ref)
    except ValueError:  # of all CCDs, or of none
        return None


def table_lines(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Rows as aligned columns under their names, numbers to the right."""
    if not rows:
        return
    columns = [[name, *(_text(row[name]) for row in rows)] for name in rows[0]]
    widths = [max(map(len, column)) for column in columns]
    is_number = [isinstance(value, int | float) for value in rows[0].values()]
    for cells in zip(*columns, strict=True):
        yield "  ".join(_aligned(cells, widths, is_number)).rstrip()


def _aligned(cells: Iterable[str], widths: Iterable[int], is_number: Iterable[bool]) -> Iterator[str]:
    for cell, width, right in zip(cells, widths, is_number, strict=True):
        yield cell.rjust(width) if right else cell.ljust(width)


def _text(value: Any) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)
