"""The reference catalogue of the simulated sky, in the layout of the public copies of Gaia DR3.

HATS (Hierarchical Adaptive Tiling Scheme, LINCC Frameworks): Parquet files by pixel of the nested
HEALPix scheme, split further where there are more stars.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy import units
from astropy_healpix import HEALPix
from numpy.typing import NDArray

from ztf_in2p3.simulate.files import write_whole
from ztf_in2p3.simulate.sky import CELL_ORDER, EPOCH, Sky, Stars
from ztf_in2p3.tables import REFERENCE, schema_of

TABLE = "gaia"
"""Folder of the catalogue in its collection."""
INDEX = "_healpix_29"
ODD = 3
"""One partition in so many, the first among them, holds two thirds of its rows twice and is a folder of files."""
COLOURLESS = 0.01
"""Fraction of the stars without BP and RP, as in the real catalogue."""
COARSEST_ORDER = 6
MAX_ROWS = 6000
"""Most rows of a file: the mean of a pixel of order 6 in the default sky, so that files of two orders appear."""

Cone = tuple[float, float, float]
"""Right ascension, declination and radius, degrees."""


def write_reference(sky: Sky, folder: Path, cones: Iterable[Cone]) -> list[tuple[int, int]]:
    """Write the catalogue of every pixel that a cone touches, whole; returns (order, pixel) of the partitions.

    Beside the columns of `ztf_in2p3.tables.REFERENCE` it has others, as the real one has.  The folder is a collection,
    whose catalogue is in the folder `TABLE`.  As in the real one, some partitions hold rows twice; the same (one in
    `ODD`) are folders of files.  Some stars have no colour (`colourless`), others no proper motion.
    """
    grid = HEALPix(2**COARSEST_ORDER, order="nested")
    touched: set[int] = set()
    for ra, dec, radius in cones:
        pixels = grid.cone_search_lonlat(ra * units.deg, dec * units.deg, radius * units.deg)
        touched.update(int(pixel) for pixel in pixels)

    root = folder / TABLE
    written: list[tuple[int, int]] = []
    total = 0
    waiting = [(COARSEST_ORDER, pixel) for pixel in sorted(touched, reverse=True)]
    while waiting:
        order, pixel = waiting.pop()
        stars = sky.in_pixel(order, pixel)
        if len(stars) > MAX_ROWS and order < CELL_ORDER:
            waiting.extend((order + 1, child) for child in range(4 * pixel + 3, 4 * pixel - 1, -1))
            continue
        table = reference_table(sky, stars)
        odd = len(written) % ODD == 0
        if odd:
            table = pa.concat_tables([table, table.slice(0, 2 * len(table) // 3)]).sort_by(INDEX)
        name = root / f"dataset/Norder={order}/Dir={pixel // 10000 * 10000}/Npix={pixel}"
        _write_partition(name, table, in_folder=odd)
        written.append((order, pixel))
        total += len(table)
    _write_text(root / "partition_info.csv", ["Norder,Npix", *(f"{order},{pixel}" for order, pixel in written)])
    _write_text(root / "hats.properties", _properties(written, total))
    _write_text(folder / "collection.properties", ["obs_collection=gaia_dr3", f"hats_primary_table_url={TABLE}"])
    return written


def reference_table(sky: Sky, stars: Stars) -> pa.Table:
    """Columns of the catalogue, sorted by place on the sky."""
    stars = stars.take(np.argsort(stars.source_id))
    columns = {column.name: getattr(stars, column.name) for column in REFERENCE}
    index = HEALPix(2**29, order="nested").lonlat_to_healpix(stars.ra * units.deg, stars.dec * units.deg)
    # An unmeasured quantity is a null there, as in the real catalogue.
    blank = colourless(stars.source_id)
    for band in ("bp", "rp"):
        columns[f"phot_{band}_mean_mag"] = np.where(blank, np.float32(np.nan), columns[f"phot_{band}_mean_mag"])
    table = pa.table(
        {name: pa.array(values, from_pandas=True) for name, values in columns.items()}, schema=schema_of(REFERENCE)
    )
    extra = {
        "ref_epoch": np.full(len(stars), EPOCH),
        "random_index": stars.source_id % 1_811_709_771,
        "phot_g_n_obs": np.full(len(stars), 200, np.int16),
        "ruwe": np.ones(len(stars), np.float32),
    }
    for name, values in extra.items():
        table = table.append_column(name, pa.array(values))
    return table.add_column(0, INDEX, pa.array(np.asarray(index, np.int64)))


def colourless(source_id: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the catalogue has no BP and RP of a star; known by its identifier, whatever else is in the table.

    (star,) both.
    """
    scrambled = (source_id.astype(np.uint64) >> np.uint64(7)) * np.uint64(0x9E3779B97F4A7C15)
    return np.asarray((scrambled >> np.uint64(44)) < COLOURLESS * 2**20)


def _write_partition(name: Path, table: pa.Table, *, in_folder: bool) -> None:
    if not in_folder:
        write_whole(name.with_name(f"{name.name}.parquet"), partial(_write_table, table))
        return
    half = len(table) // 2
    for number, rows in enumerate((table.slice(0, half), table.slice(half))):
        write_whole(name / f"part{number}.snappy.parquet", partial(_write_table, rows))


def _write_table(table: pa.Table, path: Path) -> None:
    pq.write_table(table, path, row_group_size=100_000)


def _properties(written: Sequence[tuple[int, int]], total: int) -> list[str]:
    properties = {
        "obs_collection": "gaia_dr3",
        "dataproduct_type": "object",
        "hats_nrows": total,
        "hats_col_ra": "ra",
        "hats_col_dec": "dec",
        "hats_max_rows": MAX_ROWS,
        "hats_order": max((order for order, _ in written), default=COARSEST_ORDER),
        "hats_npix_suffix": ".parquet",
        "obs_regime": "Optical",
    }
    return [f"{name}={value}" for name, value in properties.items()]


def _write_text(path: Path, lines: Iterable[str]) -> None:
    text = "\n".join(lines) + "\n"
    write_whole(path, lambda part: part.write_text(text))
