"""Stars of a reference catalogue that is cut along HEALPix pixels: HATS, in a folder, a bucket or on the web."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ztf_in2p3 import tables
from ztf_in2p3.archive import hats_layout
from ztf_in2p3.archive.atomic_write import whole_or_absent
from ztf_in2p3.archive.cones import Cone, enclosing_cone, pixels_touching
from ztf_in2p3.archive.errors import AccessDenied, NotInArchive
from ztf_in2p3.archive.hats_layout import partition_path
from ztf_in2p3.archive.reference_stars import (
    EPOCH,
    check_columns,
    check_sample,
    check_stars,
    opened_table,
    usable_stars,
)
from ztf_in2p3.archive.storage import FolderStorage, Storage, storage_at
from ztf_in2p3.errors import BadData
from ztf_in2p3.products import Value
from ztf_in2p3.store.parquet import write_table

__all__ = ["Cone", "ReferenceCatalogue", "enclosing_cone", "partition_path"]

T = TypeVar("T")

MAX_PARTITIONS_TRIED = 8
"""Partitions looked for, where files are not at hand, before a catalogue without any counts as an incomplete copy."""


@dataclass(frozen=True, slots=True)
class ReferenceCatalogue:
    """A partitioned catalogue; nothing but the list of its partitions is held in memory."""

    location: str
    pixels: dict[int, NDArray[np.int64]]
    """Pixels of the partitions, sorted, by order."""
    options: dict[str, Any]
    """Options of the storage: `ztf_in2p3.archive.storage.storage_at`."""
    suffix: str = ".parquet"
    """End of the partitions' names; ``/`` where each is a folder of files."""
    epoch: float | None = None
    """Julian year that the positions must be of; None: any."""

    @classmethod
    def open(cls, location: str, *, epoch: float | None = None, **options: Any) -> Self:
        """Find a catalogue, read the list of its partitions and look whether its stars are what they should be.

        The columns' names and types, and places and epoch of some stars, are those of the first partition with stars.

        Parameters
        ----------
        location
            A folder, or an ``s3://`` or ``http(s)://`` address, of a catalogue or of a collection of catalogues.
        epoch
            Julian year that the positions must be of, where the catalogue tells (column ``ref_epoch``).
        options
            Options of the storage: `ztf_in2p3.archive.storage.storage_at`.

        Raises
        ------
        NotInArchive
            No catalogue there.
        AccessDenied
            It may not be read.
        BadData
            It is something else: a single table, a table of another kind, columns missing or of other types, pixels in
            ring ordering, another epoch.
        TransientError
            The storage did not answer.
        ValueError
            No such address can exist.
        """
        storage = storage_at(location, **options)
        try:
            pixels = hats_layout.partitions(storage)
        except (NotInArchive, AccessDenied) as error:
            location = hats_layout.main_table(storage, location) or ""
            if not location:
                raise hats_layout.nothing_at(storage, storage.address("").rstrip("/"), error) from error
            storage = storage_at(location, **options)
            pixels = hats_layout.partitions(storage)
        suffix = hats_layout.table_properties(storage).get("hats_npix_suffix", ".parquet")
        catalogue = cls(location.rstrip("/"), pixels, options, suffix, epoch)
        catalogue._check(storage)
        return catalogue

    def partitions(self, ra: float, dec: float, radius_deg: float) -> list[tuple[int, int]]:
        """(order, pixel) of the partitions that touch a cone (degrees), sorted: `pixels_touching`."""
        return pixels_touching(self.pixels, (ra, dec, radius_deg))

    def fetch(self, order: int, pixel: int, path: Path) -> dict[str, Value]:
        """Write the stars of a partition to `path`, sorted by identifier: `ztf_in2p3.tables.REFERENCE`.

        Returns
        -------
        order, pixel, the number of stars, and of rows dropped: ``repeated`` for a star that is there already,
        ``unusable`` without identifier or place.

        Raises
        ------
        NotInArchive, AccessDenied
            No such partition, or it may not be read.
        BadData
            A column is missing or of another kind, the file cannot be read, or its stars are somewhere else.
        TransientError
            The storage did not answer.
        """
        storage = storage_at(self.location, **self.options)

        def read(file: pq.ParquetFile, address: str) -> pa.Table:
            check_columns(file.schema_arrow, address)
            names = [column.name for column in tables.REFERENCE]
            rows = file.read(names + ([EPOCH] if EPOCH in file.schema_arrow.names else []))
            check_stars(rows, order, pixel, self.epoch, address)
            return rows

        parts = self._each_file(storage, order, pixel, read)
        try:
            stars, dropped = usable_stars(parts)
        except pa.ArrowException as error:
            address = storage.address(partition_path(order, pixel, ""))
            raise BadData(f"{address}: values do not fit their columns ({error}); import the table anew") from error
        with whole_or_absent(path) as part:
            write_table(part, stars)  # from where is not written: equal stars make equal files
        return {"order": order, "pixel": pixel, "stars": stars.num_rows, **dropped}

    def _check(self, storage: Storage) -> None:
        """Look at the first partition that has stars; empty ones are checked for their columns only."""
        partitions = [(order, pixel) for order, pixels in self.pixels.items() for pixel in pixels.tolist()]
        if not isinstance(storage, FolderStorage):
            partitions = partitions[:MAX_PARTITIONS_TRIED]
        absent: NotInArchive | None = None
        checked = False
        for order, pixel in partitions:

            def look(file: pq.ParquetFile, address: str, order: int = order, pixel: int = pixel) -> int:
                check_columns(file.schema_arrow, address)
                check_sample(file, order, pixel, self.epoch, address)
                return int(file.metadata.num_rows)

            try:
                if sum(self._each_file(storage, order, pixel, look)):
                    return
                checked = True
            except NotInArchive as error:  # a copy of a part of the sky lists partitions that it does not have
                absent = error
        if absent and not checked:
            n = len(partitions)
            raise NotInArchive(f"{self.location}: none of the {n} partitions looked for is there: {absent}")

    def _each_file(self, storage: Storage, order: int, pixel: int, look: Callable[[pq.ParquetFile, str], T]) -> list[T]:
        """What is found in the file of a partition, or in each file of its folder."""

        def looked_at(path: str) -> T:
            address = storage.address(path)
            with storage.open(path) as stream, opened_table(stream, address) as file:
                return look(file, address)

        single = partition_path(order, pixel, ".parquet" if self.suffix == "/" else self.suffix)
        if self.suffix != "/":
            try:
                return [looked_at(single)]
            except (NotInArchive, AccessDenied) as error:  # S3 refuses what is not there to who may not list
                refused = error
            try:
                paths = hats_layout.partition_files(storage, order, pixel)
            except NotInArchive as error:
                raise error if isinstance(refused, NotInArchive) else refused from None
            return [looked_at(path) for path in paths]
        try:
            paths = hats_layout.partition_files(storage, order, pixel)
        except NotInArchive:
            paths = [single]
        return [looked_at(path) for path in paths]
