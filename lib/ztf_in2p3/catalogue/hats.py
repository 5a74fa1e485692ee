"""Catalogues laid out for others: HATS, Parquet files by pixel of the sky.

Hierarchical Adaptive Tiling Scheme (Caplar et al. 2025, "Using LSDB to enable large-scale catalog distribution,
cross-matching, and analytics"): ``dataset/Norder=k/Dir=d/Npix=n.parquet`` with d = n // 10000 * 10000, each sorted by
``_healpix_29``, the pixel of order 29; ``partition_info.csv`` lists them and ``hats.properties`` says what they hold.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy import units
from astropy_healpix import HEALPix
from numpy.typing import NDArray

from ztf_in2p3.archive.reference import partition_path

INDEX = "_healpix_29"
FINEST = 29
ROWS = 1_000_000
"""Of a file, at most, where the order allows."""


def write_hats(parts: Iterable[pa.Table], folder: Path, *, name: str, order: int) -> int:
    """Lay out a catalogue; returns how many rows it has.

    Parameters
    ----------
    parts
        Tables of one schema with ra and dec, degrees; rows without a position are left out.  One after the other,
        so that a catalogue may be longer than memory.
    folder
        Made anew; what was there is removed once the new one is complete.
    name
        Of the collection.
    order
        HEALPix order of the files, nested; a file is split by one order at a time while it has more than `ROWS`.

    Raises
    ------
    ValueError
        The folder holds something that is no such catalogue.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / "hats.properties").exists():
        raise ValueError(f"{folder} holds something else than a HATS catalogue; name another folder, or empty it")
    fresh = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    rows = _split(parts, fresh, order)
    _finish(fresh, rows, name)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)
    return sum(rows.values())


def _split(parts: Iterable[pa.Table], folder: Path, order: int) -> Counter[tuple[int, int]]:
    """Rows of each file, by order and pixel."""
    rows: Counter[tuple[int, int]] = Counter()
    pieces: dict[int, int] = {}
    for part in parts:
        index = healpix_29(np.asarray(part["ra"].to_numpy(), float), np.asarray(part["dec"].to_numpy(), float))
        known = np.flatnonzero(index >= 0)
        table = part.take(pa.array(known)).add_column(0, INDEX, pa.array(index[known]))
        pixel = index[known] >> 2 * (FINEST - order)
        for one in np.unique(pixel):
            number = pieces[int(one)] = pieces.get(int(one), -1) + 1
            path = folder / "pieces" / f"{one}" / f"{number:06d}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table.filter(pa.array(pixel == one)), path)
    for one in sorted(pieces):
        table = pq.read_table(folder / "pieces" / f"{one}")
        rows.update(_write(table.sort_by(INDEX), folder, order, one))
    shutil.rmtree(folder / "pieces", ignore_errors=True)
    return rows


def _write(table: pa.Table, folder: Path, order: int, pixel: int) -> dict[tuple[int, int], int]:
    """One file, or four of the next order and so on; `table` sorted by index."""
    if table.num_rows > ROWS and order < FINEST:
        cuts = [((4 * pixel + k) << 2 * (FINEST - order - 1)) for k in range(5)]
        at = np.searchsorted(table[INDEX].to_numpy(), cuts)
        found: dict[tuple[int, int], int] = {}
        for k in range(4):
            if at[k + 1] > at[k]:
                found |= _write(table.slice(at[k], at[k + 1] - at[k]), folder, order + 1, 4 * pixel + k)
        return found
    path = folder / partition_path(order, pixel)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd")
    return {(order, pixel): table.num_rows}


def _finish(folder: Path, rows: Counter[tuple[int, int]], name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
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
        "hats_max_rows": ROWS,
        "hats_order": max((order for order, _ in rows), default=0),
        "hats_npix_suffix": ".parquet",
        "obs_regime": "Optical",
    }
    (folder / "hats.properties").write_text("".join(f"{key}={value}\n" for key, value in properties.items()))


def healpix_29(ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.int64]:
    """Pixel of order 29, nested; -1 without a position."""
    known = np.isfinite(ra) & np.isfinite(dec)
    out = np.full(len(ra), -1, np.int64)
    grid = HEALPix(2**FINEST, order="nested")
    out[known] = grid.lonlat_to_healpix(ra[known] * units.deg, dec[known] * units.deg)
    return out
