"""The calibrated light curve of one star, looked up in a store by its identifier or its place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from ztf_in2p3.catalogue.star_table import pixel_of
from ztf_in2p3.directions import unit_vectors
from ztf_in2p3.errors import MissingProduct
from ztf_in2p3.products import Built, Kind, filter_of, period_of
from ztf_in2p3.store import Store
from ztf_in2p3.tables.light_curves import CURVE_OBJECTS, NESTED


def identifier_of(star: int | str) -> int:
    """Identifier of a star given as a number, or by name as ``Gaia DR3 123``."""
    text = str(star).split()[-1] if str(star).split() else ""
    if not text.lstrip("-").isdigit():
        raise ValueError(f"star {star!r}: expected the catalogue's identifier, as 123 or 'Gaia DR3 123'")
    return int(text)


def star_at(store: Store, ra: float, dec: float, within_arcsec: float) -> int:
    """Identifier of the star nearest to a place, degrees; MissingProduct if there is none so near."""
    place, chord = unit_vectors(np.array(ra), np.array(dec)), 2 * np.sin(np.deg2rad(within_arcsec / 3600) / 2)
    nearest: tuple[float, int] | None = None
    margin = within_arcsec / 3600
    for product in _latest(store.list(Kind.CURVE_OBJECTS)):
        with store.open(product) as path:
            names, limits = ["star_id", "ra", "dec"], [("dec", ">=", dec - margin), ("dec", "<=", dec + margin)]
            stars = pq.read_table(path, columns=names, filters=limits)
        if stars.num_rows:
            directions = unit_vectors(stars["ra"].to_numpy(), stars["dec"].to_numpy())
            distance = np.linalg.norm(directions - place, axis=-1)
            row = int(np.argmin(distance))
            if distance[row] <= chord and (nearest is None or distance[row] < nearest[0]):
                nearest = (float(distance[row]), int(stars["star_id"][row].as_py()))
    if nearest is None:
        raise MissingProduct(
            f'no star with a light curve within {within_arcsec}" of {ra}, {dec}; run the flow light-curves, or look '
            "further around"
        )
    return nearest[1]


def curve_of(store: Store, star_id: int) -> tuple[pd.DataFrame, dict[str, object]]:
    """Measurements of a star in all bands, in order of time; and what the tables say of it.

    Of several light curves of a band over one period, those of the recipe whose digest is last.

    Raises
    ------
    MissingProduct
        The store has no light curve of the star.
    """
    parts, about = [], dict[str, object]()
    for product in _latest(store.list(Kind.STAR_CURVES)):
        if not _may_hold(product, star_id):
            continue
        with store.open(product) as path:
            row = _row(path, star_id)
        if row is None:
            continue
        band = str(row["band"])
        parts.append(pd.DataFrame(row[NESTED]).assign(band=band))
        about |= {name: row[name] for name in ("star_id", "ra", "dec")}
        measured = {column.name for column in CURVE_OBJECTS} - {"star_id", "ra", "dec", "band"}
        about |= {f"{name}_{band}": row[name] for name in sorted(measured)}
    if not parts:
        raise MissingProduct(f"no light curve of star {star_id} in the store; run the flow light-curves")
    return pd.concat(parts, ignore_index=True).sort_values("mjd", kind="stable", ignore_index=True), about


def _may_hold(product: Built, star_id: int) -> bool:
    """Whether a star may be in a partition, by the pixel in its name; those of imported tables have none."""
    partition = re.fullmatch(r"n(\d+)_(\d+)", product.ref.data_id.rpartition("/")[2])
    return partition is None or int(pixel_of(star_id, int(partition[1]))) == int(partition[2])


def _row(path: Path, star_id: int) -> dict[str, object] | None:
    """The row of a star in one partition; only groups of rows that may hold it are read."""
    rows = pq.read_table(path, filters=[("star_id", "==", star_id)]).to_pylist()
    return rows[0] if rows else None


def _latest(products: Sequence[Built]) -> list[Built]:
    """The product of one recipe, for each period, filter and partition."""
    chosen = {(period_of(built.ref), filter_of(built.ref), built.ref.data_id): built for built in products}
    return list(chosen.values())
