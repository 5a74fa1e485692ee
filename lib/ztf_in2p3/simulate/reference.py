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

from ztf_in2p3.simulate.files import write_whole
from ztf_in2p3.simulate.sky import CELL_ORDER, EPOCH, Sky, Stars
from ztf_in2p3.tables import REFERENCE, schema_of

COARSEST_ORDER = 6
MAX_ROWS = 6000
"""Of a file: the mean of a pixel of order 6 in the default sky, so that files of two orders appear."""

Cone = tuple[float, float, float]
"""Right ascension, declination and radius, degrees."""


def write_reference(sky: Sky, folder: Path, cones: Iterable[Cone]) -> list[tuple[int, int]]:
    """Write the catalogue of every pixel that a cone touches, whole; returns (order, pixel) of the files.

    Beside the columns of `ztf_in2p3.tables.REFERENCE` it has others, as the real one has.
    """
    grid = HEALPix(2**COARSEST_ORDER, order="nested")
    cones = list(cones)
    touched: set[int] = set()
    for ra, dec, radius in cones:
        found = grid.cone_search_lonlat(ra * units.deg, dec * units.deg, radius * units.deg)
        touched.update(int(pixel) for pixel in found)

    written: list[tuple[int, int]] = []
    total = 0
    waiting = [(COARSEST_ORDER, pixel) for pixel in sorted(touched, reverse=True)]
    while waiting:
        order, pixel = waiting.pop()
        stars = sky.in_pixel(order, pixel)
        if len(stars) > MAX_ROWS and order < CELL_ORDER:
            waiting.extend((order + 1, child) for child in range(4 * pixel + 3, 4 * pixel - 1, -1))
            continue
        path = folder / f"dataset/Norder={order}/Dir={pixel // 10000 * 10000}/Npix={pixel}.parquet"
        table = reference_table(sky, stars)
        write_whole(path, partial(_write_table, table))
        written.append((order, pixel))
        total += len(stars)
    _write_text(folder / "partition_info.csv", ["Norder,Npix", *(f"{order},{pixel}" for order, pixel in written)])
    _write_text(folder / "properties", _properties(written, total))
    return written


def reference_table(sky: Sky, stars: Stars) -> pa.Table:
    """Columns of the catalogue, sorted by place on the sky."""
    stars = stars.take(np.argsort(stars.source_id))
    columns = {column.name: getattr(stars, column.name) for column in REFERENCE}
    index = HEALPix(2**29, order="nested").lonlat_to_healpix(stars.ra * units.deg, stars.dec * units.deg)
    # An unmeasured quantity is a null there, as in the real catalogue.
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
    return table.add_column(0, "_healpix_29", pa.array(np.asarray(index, np.int64)))


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
