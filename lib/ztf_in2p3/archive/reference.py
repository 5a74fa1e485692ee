"""Stars of a reference catalogue that is cut along HEALPix pixels.

The layout is that of HATS catalogues (Caplar et al. 2025, "Using LSDB to enable large-scale
catalog distribution, cross-matching, and analytics"): ``partition_info.csv`` lists order and
pixel (nested scheme) of each partition, whose stars are in
``dataset/Norder=k/Dir=d/Npix=n.parquet`` with d = n // 10000 * 10000.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy import units
from astropy_healpix import HEALPix
from botocore.exceptions import BotoCoreError, NoCredentialsError
from numpy.typing import NDArray

from ztf_in2p3 import tables
from ztf_in2p3.archive.errors import NotInArchive
from ztf_in2p3.archive.spool import whole_or_absent
from ztf_in2p3.errors import BadData, TransientError
from ztf_in2p3.products import Value
from ztf_in2p3.store.parquet import write_table

GAIA_ADDRESS = "s3://stpubdata/gaia/gaia_dr3/public/hats"
"""Public copy of Gaia DR3, read without an account."""

Cone = tuple[float, float, float]
"""On the sky: right ascension, declination, radius, in degrees."""

_EDGE_STEPS = 16
"""Points along each edge of a pixel at which its distance from a cone is measured."""


@dataclass(frozen=True, slots=True)
class ReferenceCatalogue:
    """A partitioned catalogue; nothing but the list of its partitions is held in memory."""

    location: str
    pixels: dict[int, NDArray[np.int64]]
    """Of the partitions, sorted, by order."""
    options: dict[str, Any]
    """Of the file system (fsspec)."""

    @classmethod
    def open(cls, location: str, **options: Any) -> Self:
        """Read the list of partitions.

        Parameters
        ----------
        location
            A directory or an ``s3://`` address.
        options
            Of fsspec's file system; S3 is asked anonymously unless they say otherwise.

        Raises
        ------
        NotInArchive
            No catalogue there.
        BadData
            Its list of partitions lacks a column or is empty.
        TransientError
            The storage did not answer.
        """
        if location.startswith("s3://"):
            options = {"anon": True, **options}
        address = f"{location.rstrip('/')}/partition_info.csv"
        with _opened(address, options) as stream:
            text = stream.read().decode("utf-8-sig")
        return cls(location.rstrip("/"), _partitions(text, address), options)

    def partitions(self, ra: float, dec: float, radius_deg: float) -> list[tuple[int, int]]:
        """(order, pixel) of the partitions that touch a cone, sorted.

        A pixel touches if it holds the centre, or if its boundary comes as close as the radius.
        The distance is measured at points along the boundary and half their spacing is added, so
        no partition is missed; one beyond the cone by less than that (1/32 of an edge) may be
        listed too.

        Parameters
        ----------
        ra, dec, radius_deg
            Degrees; ra of any turn.
        """
        if not (-90 <= dec <= 90 and radius_deg >= 0 and np.isfinite(ra)):
            raise ValueError(f"no cone of radius {radius_deg} deg around RA {ra}, Dec {dec}")
        centre = _direction(np.radians(ra), np.radians(dec))
        touched = []
        for order, pixels in sorted(self.pixels.items()):
            grid = HEALPix(nside=2**order, order="nested")
            near = pixels[self._may_touch(grid, pixels, centre, radius_deg)]
            inside = int(grid.lonlat_to_healpix(ra * units.deg, dec * units.deg))
            for pixel in near.tolist():
                if pixel == inside or _boundary_distance(grid, pixel, centre) <= radius_deg:
                    touched.append((order, pixel))
        return touched

    def fetch(self, order: int, pixel: int, spool: Path) -> dict[str, Value]:
        """Write the stars of a partition to `spool`, sorted by identifier: `ztf_in2p3.tables.REFERENCE`.

        Returns
        -------
        order, pixel, and the number of stars.

        Raises
        ------
        NotInArchive
            No such partition.
        BadData
            A column is missing or of another kind, or the file cannot be read.
        TransientError
            The storage did not answer.
        """
        address = f"{self.location}/{partition_path(order, pixel)}"
        with _opened(address, self.options) as stream:
            stars = _read_columns(stream, address).sort_by("source_id")
        with whole_or_absent(spool) as part:
            write_table(part, stars)  # from where is not written: equal stars make equal files
        return {"order": order, "pixel": pixel, "stars": stars.num_rows}

    @staticmethod
    def _may_touch(grid: HEALPix, pixels: NDArray[np.int64], centre: NDArray, radius_deg: float) -> NDArray[np.bool_]:
        """Quick choice by the distance of the pixels' centres."""
        lon, lat = grid.healpix_to_lonlat(pixels)
        return _distance(_direction(lon.rad, lat.rad), centre) <= radius_deg + _largest_radius(grid)


def enclosing_cone(cones: Sequence[Cone]) -> Cone:
    """A cone that holds some others that lie near each other; not always the smallest one."""
    ra, dec, radius = np.transpose(cones)
    directions = _direction(np.radians(ra), np.radians(dec))
    centre = directions.mean(axis=0)
    centre /= np.linalg.norm(centre)
    reach = float((_distance(directions, centre) + radius).max())
    return float(np.degrees(np.arctan2(centre[1], centre[0])) % 360), float(np.degrees(np.arcsin(centre[2]))), reach


def partition_path(order: int, pixel: int) -> str:
    return f"dataset/Norder={order}/Dir={pixel // 10000 * 10000}/Npix={pixel}.parquet"


def _partitions(text: str, address: str) -> dict[int, NDArray[np.int64]]:
    rows = csv.DictReader(io.StringIO(text))
    missing = {"Norder", "Npix"} - set(rows.fieldnames or ())
    if missing:
        raise BadData(f"{address}: no column {', '.join(sorted(missing))}; it has {', '.join(rows.fieldnames or ())}")
    by_order: dict[int, list[int]] = {}
    try:
        for row in rows:
            by_order.setdefault(int(row["Norder"]), []).append(int(row["Npix"]))
    except (ValueError, TypeError) as error:
        raise BadData(f"{address}, line {rows.line_num}: {error}; expected whole numbers Norder and Npix") from error
    if not by_order:
        raise BadData(f"{address} lists no partition; is this a whole copy of the catalogue?")
    return {order: np.array(sorted(pixels), dtype=np.int64) for order, pixels in by_order.items()}


def _read_columns(stream: Any, address: str) -> pa.Table:
    try:
        file = pq.ParquetFile(stream, pre_buffer=True)
        names = [column.name for column in tables.REFERENCE]
        missing = [name for name in names if name not in file.schema_arrow.names]
        if missing:
            raise BadData(
                f"{address}: no column {', '.join(missing)}; is this a copy of Gaia DR3 with all its columns?"
            )
        return file.read(names).select(names).cast(tables.schema_of(tables.REFERENCE))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise BadData(f"{address} cannot be read as a table of stars: {error}; fetch the partition again") from error


@contextmanager
def _opened(address: str, options: dict[str, Any]) -> Iterator[Any]:
    try:
        with fsspec.open(address, "rb", **options) as stream:
            yield stream
    except FileNotFoundError as error:
        raise NotInArchive(f"{address} is not there; expected a HATS catalogue with this file") from error
    except (PermissionError, NoCredentialsError) as error:
        raise BadData(f"{address}: not allowed to read it ({error}); give the storage's credentials") from error
    except (OSError, BotoCoreError) as error:
        raise TransientError(f"{address}: the storage did not answer ({error}); try again") from error


def _direction(lon: NDArray | float, lat: NDArray | float) -> NDArray:
    """Unit vectors, (..., 3), of directions in radians."""
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat) + 0 * np.asarray(lon)], axis=-1)


def _distance(directions: NDArray, centre: NDArray) -> NDArray:
    """Degrees.  By the chord: an arc cosine would lose small angles."""
    return np.degrees(2 * np.arcsin(np.clip(np.linalg.norm(directions - centre, axis=-1) / 2, 0, 1)))


def _largest_radius(grid: HEALPix) -> float:
    """Degrees; no pixel of the grid reaches further from its centre.

    The furthest corner lies at 0.82 times the square root of a pixel's area at order 0, and at
    1.04 times at order 6, where the factor has converged (measured over all pixels).
    """
    return 1.1 * float(grid.pixel_resolution.to_value(units.deg))


def _boundary_distance(grid: HEALPix, pixel: int, centre: NDArray) -> float:
    """Degrees; a lower bound of the distance between a cone's centre and the boundary of a pixel."""
    lon, lat = grid.boundaries_lonlat([pixel], _EDGE_STEPS)
    points = _direction(lon.rad[0], lat.rad[0])
    spacing = _distance(points, np.roll(points, 1, axis=0)).max()
    # Between two neighbours no point of the edge is further from the nearer one than half of them are apart
    # (the edges are a little curved: one part in fifty is granted, and far more than is ever needed).
    return float(_distance(points, centre).min() - 0.51 * spacing)
