"""Measurements from elsewhere, made a star table of ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ztf_in2p3.camera import Camera
from ztf_in2p3.catalogue.star_table import complete_stars, passing, sort_measurements, tests_of_any
from ztf_in2p3.errors import BadData
from ztf_in2p3.identifiers import N_CCD, N_QUADRANT
from ztf_in2p3.recipes import StarTableRecipe
from ztf_in2p3.tables import STAR_TABLE, schema_of

ROWS_AT_ONCE = 1 << 18
"""Of the foreign files: what is in memory while they are sorted into partitions."""


def scatter_foreign(
    paths: Sequence[Path], camera: Camera, recipe: StarTableRecipe, folder: Path
) -> tuple[list[Path], dict[str, int]]:
    """Distribute the rows of foreign Parquet files over partitions, all of a star into one; memory does not grow.

    Which partition is told by the remainder of star_id: foreign identifiers say nothing of the sky.

    Parameters
    ----------
    paths
        Files with the columns that the recipe's `ForeignColumns` names; of one filter.
    folder
        Empty; receives one file a partition, not yet sorted: see `sorted_partition`.

    Returns
    -------
    The files, and the measurements found and taken away by each cut.

    Raises
    ------
    BadData
        A file is no Parquet file or lacks a column, or star_id is no integer.
    """
    n_row = sum(_opened(path).metadata.num_rows for path in paths)
    n_part = max(1, -(-n_row // recipe.foreign_rows))
    counts: Counter[str] = Counter(found=0)
    parts = [folder / f"p{k:04d}.parquet" for k in range(n_part)]
    schema = schema_of(STAR_TABLE)
    writers = [pq.ParquetWriter(part, schema) for part in parts]
    try:
        for columns in _read(paths, camera, recipe):
            table = passing(columns, tests_of_any(columns, recipe), counts)
            part = table["star_id"].to_numpy() % n_part
            for k in np.unique(part).tolist():
                writers[k].write_table(table.filter(pa.array(part == k)))
    finally:
        for writer in writers:
            writer.close()
    return parts, dict(counts)


def sorted_partition(part: Path, recipe: StarTableRecipe) -> tuple[pa.Table, dict[str, int]]:
    """One partition, star by star, as `ztf_in2p3.catalogue.star_table.star_table`; its counts."""
    return complete_stars(sort_measurements(pq.read_table(part)), recipe, Counter())


def _read(paths: Sequence[Path], camera: Camera, recipe: StarTableRecipe) -> Iterator[dict[str, NDArray]]:
    for path in paths:
        with _opened(path) as file:
            names = _required(file.schema_arrow, recipe, path)
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=names):
                yield _translated(pa.Table.from_batches([batch]), camera, recipe, path)


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowInvalid, pa.ArrowException) as error:
        raise BadData(f"{path} cannot be read as Parquet ({error}); export the table again") from error


def _required(schema: pa.Schema, recipe: StarTableRecipe, path: Path) -> list[str]:
    names = recipe.foreign
    quadrant = [names.rcid] if names.rcid else [names.ccd, names.qid]
    wanted = [names.star_id, *quadrant, names.x, names.y, names.mjd, names.mag, names.mag_e]
    optional = [names.exposure, names.airmass, names.colour, names.ra, names.dec, names.g]
    wanted += [name for name in optional if name]
    if missing := [name for name in wanted if name not in schema.names]:
        raise BadData(
            f"{path}: no column {', '.join(missing)}; it has {', '.join(schema.names)}: "
            "say in the recipe's [foreign] table what they are called there"
        )
    if not pa.types.is_integer(schema.field(names.star_id).type):
        raise BadData(
            f"{path}: {names.star_id} is of type {schema.field(names.star_id).type}, expected whole numbers; "
            "number the stars, in all files alike"
        )
    return list(dict.fromkeys(wanted))


def _translated(table: pa.Table, camera: Camera, recipe: StarTableRecipe, path: Path) -> dict[str, NDArray]:
    names, n = recipe.foreign, table.num_rows

    def floats(name: str) -> NDArray[np.float64]:
        return np.asarray(table[name].to_numpy(), np.float64) if name else np.full(n, np.nan)

    mjd = floats(names.mjd)
    rcid = floats(names.rcid) if names.rcid else N_QUADRANT * (floats(names.ccd) - 1) + floats(names.qid) - 1
    known = np.isin(rcid, np.arange(N_CCD * N_QUADRANT))
    if not known.all():
        raise BadData(
            f"{path}: a row is of readout channel {rcid[~known][0]:g}, expected 0 to {N_CCD * N_QUADRANT - 1} "
            f"(CCDs 1 to {N_CCD}, quadrants 1 to {N_QUADRANT}); leave such rows out, or correct the column's name"
        )
    x, y = floats(names.x) - names.first_pixel, floats(names.y) - names.first_pixel
    u, v = np.empty(n), np.empty(n)
    for quadrant in camera.quadrants:
        on = rcid == quadrant.rcid
        u[on], v[on] = camera.focal_plane(quadrant, x[on], y[on])
    exposure = table[names.exposure].to_numpy() if names.exposure else np.rint(mjd * 86400)
    star_id = np.asarray(table[names.star_id].to_numpy())
    return {
        "star_id": star_id.astype(np.int64), "exposure": exposure.astype(np.int64), "rcid": rcid, "x": x, "y": y,
        "u": u, "v": v, "mjd": mjd, "airmass": floats(names.airmass), "colour": floats(names.colour),
        "mag": floats(names.mag), "mag_e": floats(names.mag_e), "ra": floats(names.ra), "dec": floats(names.dec),
        "g": floats(names.g),
    }  # fmt: skip
