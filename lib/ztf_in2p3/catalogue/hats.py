"""Catalogues laid out for others: HATS, Parquet files by pixel of the sky.

Hierarchical Adaptive Tiling Scheme (Caplar et al. 2025, "Using LSDB to enable large-scale catalog distribution,
cross-matching, and analytics"): ``dataset/Norder=k/Dir=d/Npix=n.parquet`` with d = n // 10000 * 10000, each sorted by
``_healpix_29``, the pixel of order 29; ``partition_info.csv`` lists them, ``hats.properties`` says what they hold and
``dataset/_common_metadata`` what columns they have, ``dataset/_metadata`` the footers of all files.  A collection is a
folder with ``collection.properties``, which names the catalogue in it.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy import units
from astropy_healpix import HEALPix
from numpy.typing import NDArray

from ztf_in2p3.archive.hats_layout import partition_path
from ztf_in2p3.store.parquet import ROWS_OF_A_GROUP, read_parts

INDEX = "_healpix_29"
FINEST = 29
ROWS = 1_000_000
"""Largest number of rows of a file, where the order allows."""
ROWS_IN_MEMORY = 4_000_000
"""Largest number of rows sorted at once; more go to disk first, by pixel."""
_ORDERS_AT_ONCE = 3
"""Orders by which tables that are longer than memory are divided: into 64 files open at the same time."""

_BYTES_OF_A_ROW = 64
"""Size of a row that counts once; longer ones, with light curves in them, count as often as they are longer."""
TABLE_OF_A_COLLECTION = "table"
"""Folder of the only catalogue of a collection."""

Part = tuple[int, pa.Table]
"""Order, and all rows of some pixels of it."""


def write_hats(
    parts: Iterable[pa.Table],
    folder: Path,
    *,
    name: str,
    order: int,
    max_rows: int | None = None,
    tidy: Callable[[pa.Table], pa.Table] = lambda table: table,
) -> int:
    """Lay out a catalogue; returns how many rows it has.

    Parameters
    ----------
    parts
        Tables of one schema with ra and dec, degrees; rows without a position are left out.  One after the other,
        so that a catalogue may be longer than memory.
    folder
        Made anew; what was there is removed once the new one is complete.
    name
        Name of the collection.
    order
        HEALPix order of the files, nested; a file is split by one order at a time while it has more than `max_rows`.
    max_rows
        `ROWS` if not given.
    tidy
        Applied to all rows of whole pixels, with the column `INDEX`, before they are written; it may take rows away.

    Raises
    ------
    ValueError
        The folder holds something that is no such catalogue.
    """
    folder = folder.absolute()
    if folder.exists() and not (folder.is_dir() and _may_replace(folder)):
        raise ValueError(f"{folder} holds something else than a HATS catalogue; name another folder, or empty it")
    fresh = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    rows: Counter[tuple[int, int]] = Counter()
    schema = pa.schema([])
    try:
        for of_order, table in _whole_pixels((_indexed(part) for part in parts), fresh / "pieces"):
            tidied = tidy(table)
            schema = tidied.schema
            rows.update(_write_pixels(tidied.sort_by(INDEX), fresh, max(order, of_order), max_rows or ROWS))
        shutil.rmtree(fresh / "pieces", ignore_errors=True)
        _finish(fresh, rows, schema, name, max_rows or ROWS)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)
    return sum(rows.values())


def write_collection(parts: Iterable[pa.Table], folder: Path, *, name: str, order: int, max_rows: int) -> int:
    """Lay out a catalogue as the only one of a HATS collection; parameters and result as `write_hats`.

    Raises
    ------
    ValueError
        The folder holds something that is no such collection.
    """
    folder = folder.absolute()
    description = folder / "collection.properties"
    if folder.exists() and not (folder.is_dir() and (description.exists() or not any(folder.iterdir()))):
        raise ValueError(f"{folder} holds something else than a HATS collection; name another folder, or empty it")
    folder.mkdir(parents=True, exist_ok=True)
    description.write_text(f"obs_collection={name}\nhats_primary_table_url={TABLE_OF_A_COLLECTION}\n")
    return write_hats(parts, folder / TABLE_OF_A_COLLECTION, name=name, order=order, max_rows=max_rows)


def _may_replace(folder: Path) -> bool:
    return not any(folder.iterdir()) or (folder / "hats.properties").exists()


def _indexed(part: pa.Table) -> pa.Table:
    """Rows that have a position, with their pixel of order 29."""
    index = healpix_29(np.asarray(part["ra"].to_numpy(), float), np.asarray(part["dec"].to_numpy(), float))
    known = np.flatnonzero(index >= 0)
    return part.take(pa.array(known)).add_column(0, INDEX, pa.array(index[known]))


def _whole_pixels(parts: Iterable[pa.Table], scratch: Path, order: int | None = None) -> Iterator[Part]:
    """Rows in tables that fit into memory, each with all rows of some pixels.

    Parameters
    ----------
    order
        Order of the pixel that the rows are from; None: from anywhere.
    """
    waiting, held, n_row = iter(parts), [], 0
    for part in waiting:
        held.append(part)
        n_row += max(part.num_rows, part.nbytes // _BYTES_OF_A_ROW)
        if n_row > ROWS_IN_MEMORY and order != FINEST:
            break
    else:
        if held:
            yield order or 0, pa.concat_tables(held)
        return
    finer = 0 if order is None else min(order + _ORDERS_AT_ONCE, FINEST)
    for path in _scattered(chain(held, waiting), scratch, finer):
        yield from _whole_pixels(read_parts(path), path.with_suffix(""), finer)
        path.unlink()


def _scattered(parts: Iterable[pa.Table], scratch: Path, order: int) -> list[Path]:
    """A file of each pixel of an order, in the order of the pixels."""
    scratch.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        writers: dict[int, pq.ParquetWriter] = {}
        for part in parts:
            pixels = part[INDEX].to_numpy() >> 2 * (FINEST - order)
            for pixel in np.unique(pixels).tolist():
                if pixel not in writers:
                    writers[pixel] = stack.enter_context(pq.ParquetWriter(scratch / f"{pixel}.parquet", part.schema))
                writers[pixel].write_table(part.filter(pa.array(pixels == pixel)))
    return [scratch / f"{pixel}.parquet" for pixel in sorted(writers)]


def _write_pixels(table: pa.Table, folder: Path, order: int, max_rows: int) -> dict[tuple[int, int], int]:
    """A file of each pixel of an order, or several finer ones; `table` sorted by index."""
    pixels, first = np.unique(table[INDEX].to_numpy() >> 2 * (FINEST - order), return_index=True)
    written: dict[tuple[int, int], int] = {}
    for pixel, begin, end in zip(pixels.tolist(), first, [*first[1:], table.num_rows], strict=True):
        rows = table.slice(begin, end - begin)
        if rows.num_rows > max_rows and order < FINEST:
            written |= _write_pixels(rows, folder, order + 1, max_rows)
            continue
        path = folder / partition_path(order, pixel)
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, path, compression="zstd", row_group_size=ROWS_OF_A_GROUP)
        written[order, pixel] = rows.num_rows
    return written


def _finish(folder: Path, rows: Counter[tuple[int, int]], schema: pa.Schema, name: str, max_rows: int) -> None:
    (folder / "dataset").mkdir(parents=True, exist_ok=True)
    pq.write_metadata(schema.remove_metadata(), folder / "dataset" / "_common_metadata")
    footers = []
    for place in sorted(rows):
        footer = pq.read_metadata(folder / partition_path(*place))
        footer.set_file_path(partition_path(*place).removeprefix("dataset/"))
        footers.append(footer)
    if footers:
        pq.write_metadata(schema, folder / "dataset" / "_metadata", footers)
    lines = ["Norder,Npix,num_rows", *(f"{order},{pixel},{n}" for (order, pixel), n in sorted(rows.items()))]
    (folder / "partition_info.csv").write_text("\n".join(lines) + "\n")
    properties = {
        "obs_collection": name,
        "dataproduct_type": "object",
        "hats_nrows": sum(rows.values()),
        "hats_col_ra": "ra",
        "hats_col_dec": "dec",
        "hats_col_healpix": INDEX,
        "hats_col_healpix_order": FINEST,
        "hats_max_rows": max_rows,
        "hats_order": max((order for order, _ in rows), default=0),
        "hats_npix_suffix": ".parquet",
        "obs_regime": "Optical",
    }
    (folder / "hats.properties").write_text("".join(f"{key}={value}\n" for key, value in properties.items()))


def healpix_29(ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.int64]:
    """Pixel of order 29, nested; -1 without a position.  `ra`, `dec`: (star,), degrees."""
    known = np.isfinite(ra) & np.isfinite(dec)
    out = np.full(len(ra), -1, np.int64)
    grid = HEALPix(2**FINEST, order="nested")
    out[known] = grid.lonlat_to_healpix(ra[known] * units.deg, dec[known] * units.deg)
    return out
