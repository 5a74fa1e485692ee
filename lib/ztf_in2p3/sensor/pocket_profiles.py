"""What a pocket shows in one exposure: the overscan behind blocks of rows, and the first column read.

Only rows that neither begin nor end on a source tell of a known level.  Everything is over the plain
offset, a cubic through the last overscan columns: it is too high by what these still hold,
the same in all columns of a block, and the fit finds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ztf_in2p3.camera import Camera, flip_readout
from ztf_in2p3.frames import RawCcd
from ztf_in2p3.identifiers import N_QUADRANT
from ztf_in2p3.recipes import PocketProfileRecipe
from ztf_in2p3.robust_statistics import robust_sigmas
from ztf_in2p3.sensor.readout import Readout
from ztf_in2p3.sensor.temperature import Temperatures
from ztf_in2p3.tables import POCKET_PROFILES, schema_of

CLIP = 5.0
"""Robust standard deviations beyond which a pixel belongs to a source, or a sample to a cosmic ray."""
LAST = 8
"""Columns before the end whose mean is the level of a row: the pocket forgets what was earlier."""
_SETTLED = slice(8, 40)
"""Columns behind the first ones, where the pocket has found its equilibrium; a line through them leads to the first."""
_LEAST_ROWS = 4
"""One row in so many of a block must be free of sources."""


@dataclass(frozen=True, slots=True, eq=False)
class Profiles:
    """Blocks of rows of one amplifier, over any zero that is the same in all columns of a block."""

    block: NDArray[np.integer]
    """(profile,) which part of the rows it is of: the pixels of a part are the same in all exposures."""
    rows: NDArray[np.integer]
    """(profile,) of the part that are used."""
    kelvin: NDArray[np.float64]
    """(profile,) temperature of the CCD."""
    level: NDArray[np.float64]
    """(profile,) what the last pixels of the rows show, linear ADU over the bias."""
    overscan: NDArray[np.float64]
    """(profile, column) mean of the rows, in readout order, ADU."""
    error: NDArray[np.float64]
    """(profile,) of each of its columns, ADU."""
    first: NDArray[np.float64]
    """(profile,) what the first pixels show, linear ADU over the bias; NaN: not known."""
    start: NDArray[np.float64]
    """(profile,) what the pixels behind them say that they should show, did all pixels respond alike."""
    start_error: NDArray[np.float64]
    """(profile,) of the difference of these two, ADU."""

    def __len__(self) -> int:
        return len(self.level)

    def take(self, chosen: NDArray) -> Self:
        """Some of the profiles, by mask or number.  `chosen`: (profile,)."""
        return type(self)(*(getattr(self, field.name)[chosen] for field in fields(self)))

    @classmethod
    def of(cls, table: pa.Table, kelvin: str) -> Self:
        """Profiles in rows of `POCKET_PROFILES`, with the temperature of the column `kelvin`."""
        column = {field.name: table[field.name].to_numpy() for field in fields(cls) if field.name != "overscan"}
        rows = table["overscan"].to_pylist()
        overscan = np.array(rows, dtype=np.float64).reshape(len(rows), len(rows[0]) if rows else 0)
        return cls(**column | {"kelvin": table[kelvin].to_numpy(), "overscan": overscan})

    def table(self, qid: int, mjd: float, head_kelvin: float) -> pa.Table:
        """Columns `POCKET_PROFILES` of one exposure."""
        schema, same = schema_of(POCKET_PROFILES), {"qid": qid, "mjd": mjd, "head_kelvin": head_kelvin}
        columns = {field.name: list(getattr(self, field.name)) for field in fields(self)}
        columns |= {name: [value] * len(self) for name, value in same.items()}
        return pa.table([pa.array(columns[entry.name], entry.type) for entry in schema], schema=schema)


def ccd_profiles(
    path: Path, bias: Mapping[int, NDArray[np.float32]], camera: Camera, ccdid: int, recipe: PocketProfileRecipe
) -> pa.Table:
    """Profiles of the four quadrants of a raw file with light, columns `ztf_in2p3.tables.POCKET_PROFILES`.

    Parameters
    ----------
    bias : (row, column) by qid, ADU
        As stored.

    Raises
    ------
    BadData
        The file is not a raw frame of this CCD, or cannot be decoded.
    """
    with RawCcd.open(path, camera, ccdid) as raw:
        felt, parts = Temperatures.read(raw.header, ccdid), []
        for qid in range(1, N_QUADRANT + 1):
            readout = Readout.of(raw, qid, recipe.bias.sensor)
            light = readout.linear(raw.pixels(qid)) - bias[qid]
            behind = readout.linear(raw.overscan(qid))
            in_order = flip_readout(light, qid), flip_readout(behind, qid)
            profiles = block_profiles(*in_order, felt.ccd, readout.read_noise, rows=recipe.block_rows)
            parts.append(profiles.table(qid, raw.mjd, felt.head))
    return pa.concat_tables(parts)


def block_profiles(light: NDArray, overscan: NDArray, kelvin: float, read_noise: float, *, rows: int = 128) -> Profiles:
    """Profiles of blocks of rows of one exposure.

    Parameters
    ----------
    light : (row, column), linear ADU over offset and bias
        The image in readout order, whole rows.
    overscan : (row, column), linear ADU over the offset
        In readout order.
    read_noise
        ADU.
    rows
        Rows of a block.
    """
    starts = range(0, len(light) - rows // 2 + 1, rows)
    parts = [(start // rows, slice(start, start + rows)) for start in starts]
    rows_of_blocks = [_profile(light[part], overscan[part], read_noise) | {"block": block} for block, part in parts]
    bright = [row for row in rows_of_blocks if row["level"] > 0]
    column = {name: np.array([row[name] for row in bright]) for name in rows_of_blocks[0]}
    column["overscan"] = column["overscan"].reshape(-1, overscan.shape[1])
    return Profiles(kelvin=np.full(len(bright), float(kelvin)), **column)


def _profile(light: NDArray, overscan: NDArray, read_noise: float) -> dict[str, Any]:
    """One block; level NaN if too few of its rows are free of sources."""
    quiet = _is_quiet(light[:, -LAST:], read_noise) & _is_quiet(overscan, read_noise)
    at_start = _is_quiet(light[:, : _SETTLED.stop], read_noise)
    profile: dict[str, Any] = dict.fromkeys(("level", "error", "first", "start", "start_error"), np.nan)
    profile["rows"], profile["overscan"] = int(quiet.sum()), np.zeros(overscan.shape[1])
    if profile["rows"] * _LEAST_ROWS < len(light):
        return profile
    profile["level"] = float(light[quiet, -LAST:].mean(dtype=np.float64))
    profile["overscan"] = overscan[quiet].mean(axis=0, dtype=np.float64)
    profile["error"] = read_noise / np.sqrt(profile["rows"])
    if at_start.sum() * _LEAST_ROWS < len(light):
        return profile
    head = light[at_start, : _SETTLED.stop].mean(axis=0, dtype=np.float64)
    noise = light[at_start, _SETTLED].std(axis=0, dtype=np.float64).mean() / np.sqrt(at_start.sum())
    column = np.arange(_SETTLED.start, _SETTLED.stop)
    to_first = np.linalg.pinv(np.vander(column, 2))[1]  # value at column 0 of the line through the others
    profile["first"], profile["start"] = float(head[0]), float(to_first @ head[_SETTLED])
    profile["start_error"] = float(noise * np.sqrt(1 + to_first @ to_first))
    return profile


def _is_quiet(pixels: NDArray, read_noise: float) -> NDArray[np.bool_]:
    """Rows all of whose pixels are data, and none of them far from the median of its column."""
    whole = np.isfinite(pixels).all(axis=1)
    if not whole.any():
        return whole
    middle = np.median(pixels[whole], axis=0)
    spread = robust_sigmas(pixels[whole], middle)
    return whole & (np.abs(pixels - middle) <= CLIP * np.maximum(spread, read_noise)).all(axis=1)
