"""Catalogues of stars drawn from known truth, without images."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from ztf_in2p3.camera import TINY, Camera
from ztf_in2p3.identifiers import Quadrant
from ztf_in2p3.simulate.truth import STAR_TRUTH
from ztf_in2p3.tables import catalogue_schema, schema_of

RADII = (3.0, 6.0, 10.0)
SKY_NOISE = 75.0
"""ADU, of an aperture."""
GAIN = 6.0


def true_stars(n: int, ccdid: int = 5, seed: int = 1, camera: Camera = TINY) -> pa.Table:
    """Stars of magnitude 13 to 19 anywhere on a CCD; `flux` at a zero point of 26."""
    draw = np.random.default_rng([seed, ccdid])
    rows, columns = camera.shape
    magnitude = draw.uniform(13, 19, n)
    values = {
        "star_id": draw.permutation(10 * n)[:n] + 1000 * ccdid,
        "qid": draw.integers(1, 5, n),
        "x": draw.uniform(0, columns - 1, n),
        "y": draw.uniform(0, rows - 1, n),
        "magnitude": magnitude,
        "flux": 10 ** (0.4 * (26 - magnitude)),
        "saturated": np.zeros(n, bool),
    }
    return pa.table({c.name: values.get(c.name, np.zeros(n)) for c in STAR_TRUTH}, schema=schema_of(STAR_TRUTH))


def catalogue(
    truth: pa.Table,
    *,
    exposure: int = 20190405250000,
    mjd: float = 58578.25,
    filter: str = "zr",
    ccdid: int = 5,
    seed: int = 2,
    camera: Camera = TINY,
    fractions: tuple[float, ...] = (1.0, 1.0, 1.0),
    **columns: object,
) -> pa.Table:
    """The true stars as an unbiased measurement finds them; `columns` replace the defaults."""
    n = truth.num_rows
    draw = np.random.default_rng([seed, ccdid, exposure])
    flux, qid = truth["flux"].to_numpy(), truth["qid"].to_numpy()
    error = np.sqrt(flux / GAIN + SKY_NOISE**2)
    u, v = np.zeros(n), np.zeros(n)
    for one in np.unique(qid):
        of = qid == one
        u[of], v[of] = camera.focal_plane(
            Quadrant(ccdid, int(one)), truth["x"].to_numpy()[of], truth["y"].to_numpy()[of]
        )
    values: dict[str, object] = {
        name: truth[name].to_numpy() for name in ("star_id", "qid", "x", "y")
    } | {
        "exposure": exposure, "mjd": mjd, "filter": filter, "ccd": ccdid, "rcid": 4 * (ccdid - 1) + qid - 1,
        "u": u, "v": v, "airmass": 1.2, "isolated": True, "flags": 0, "background": 300.0, "background_rms": 7.0,
        "seeing": 2.0, "field": 601,
    }  # fmt: skip
    noise = draw.normal(0, 1, n) * error
    for k, (radius, fraction) in enumerate(zip(RADII, fractions, strict=True)):
        values |= {f"r_{k}": radius, f"f_{k}": fraction * flux + noise, f"f_{k}_e": error, f"f_{k}_f": 0}
    values |= columns
    schema = catalogue_schema(RADII)
    arrays = []
    for field in schema:
        value = values.get(field.name, 0.0)
        array = pa.array(np.broadcast_to(np.asarray(value), n) if not isinstance(value, str) else [value] * n)
        arrays.append(array.cast(field.type))
    return pa.table(arrays, schema=schema)


NO_STARS = catalogue_schema(RADII).empty_table()
