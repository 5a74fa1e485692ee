"""The part of a reference catalogue that an image needs."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from ztf_in2p3.directions import unit_vectors


def stars_within(table: pa.Table, ra: float, dec: float, radius_deg: float) -> pa.Table:
    """Rows of a table of stars (columns ``ra``, ``dec``, degrees) inside a cone (degrees), in their order."""
    stars = unit_vectors(table["ra"].to_numpy(), table["dec"].to_numpy())
    centre = unit_vectors(np.array(ra), np.array(dec))
    chord = 2 * np.sin(np.deg2rad(radius_deg) / 2)
    return table.filter(pa.array(np.linalg.norm(stars - centre, axis=-1) <= chord))


def stars_around(parts: Iterable[pa.Table], ra: float, dec: float, radius_deg: float) -> pa.Table:
    """Rows of several tables of stars inside a cone (degrees), one row a ``source_id``.

    Copies of a catalogue that are cut in different ways overlap; a star listed twice would count as its own neighbour.
    """
    stars = pa.concat_tables(stars_within(part, ra, dec, radius_deg) for part in parts)
    _, first = np.unique(stars["source_id"].to_numpy(), return_index=True)
    return stars if len(first) == stars.num_rows else stars.take(pa.array(np.sort(first)))
