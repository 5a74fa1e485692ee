"""Two files of one kind compared: headers, tables and pixels, with figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from astropy.io import fits
from numpy.typing import NDArray

from ztf_in2p3.errors import BadData
from ztf_in2p3.hdus import decoding
from ztf_in2p3.store.parquet import read_table
from ztf_in2p3.store.records import sha256_of

_OF_THE_FILE = ["CHECKSUM", "DATASUM", "ZHECKSUM", "ZDATASUM", "DATE"]


@dataclass(frozen=True, slots=True)
class Difference:
    """A thing in which two files differ."""

    where: str
    """Extension and card, column, or pixels."""
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def differences(first: Path, second: Path) -> list[Difference]:
    """Everything in which two files differ; nothing if they say the same.

    Raises
    ------
    BadData
        A file cannot be read, or they are not both FITS or both Parquet.
    """
    if sha256_of(first) == sha256_of(second):
        return []
    formats = {_format(path) for path in (first, second)}
    if formats == {"FITS"}:
        return list(_of_fits(first, second))
    if formats == {"Parquet"}:
        return list(_of_tables(read_table(first), read_table(second)))
    if len(formats) == 1:
        sizes = [path.stat().st_size for path in (first, second)]
        return [Difference("content", f"{sizes[0]} and {sizes[1]} bytes that are neither FITS nor Parquet differ")]
    raise BadData(f"{first} and {second} are {' and '.join(sorted(formats))}; expected two files of one format")


def _format(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(6)
    return "FITS" if head == b"SIMPLE" else "Parquet" if head.startswith(b"PAR1") else "other files"


def _of_fits(first: Path, second: Path) -> Iterator[Difference]:
    with decoding(f"{first} or {second}"), fits.open(first) as hdus, fits.open(second) as others:
        before, after = _by_name(hdus), _by_name(others)
        for name in before.keys() ^ after.keys():
            yield Difference(name, f"only in the {'first' if name in before else 'second'} file")
        for name in before:
            if name in after:
                yield from _of_headers(name, before[name].header, after[name].header)
                yield from _of_data(
                    name, before[name].data, after[name].data, str(before[name].header.get("BUNIT", ""))
                )


def _by_name(hdus: fits.HDUList) -> dict[str, fits.hdu.base.ExtensionHDU]:
    return {hdu.name or f"HDU {index}": hdu for index, hdu in enumerate(hdus)}


def _of_headers(where: str, first: fits.Header, second: fits.Header) -> Iterator[Difference]:
    diff = fits.HeaderDiff(first, second, ignore_keywords=_OF_THE_FILE)
    for keyword in diff.diff_keywords[0] if diff.diff_keywords else ():
        yield Difference(f"{where} {keyword}", "only in the first file")
    for keyword in diff.diff_keywords[1] if diff.diff_keywords else ():
        yield Difference(f"{where} {keyword}", "only in the second file")
    for keyword, values in diff.diff_keyword_values.items():
        for pair in values:
            if pair is not None:
                yield Difference(f"{where} {keyword}", f"{pair[0]!r} and {pair[1]!r}")


def _of_data(where: str, first: NDArray | None, second: NDArray | None, unit: str) -> Iterator[Difference]:
    """Differences of the pixels of an extension, or of the columns of a FITS table."""
    if first is None or second is None:
        if first is not second:
            yield Difference(where, f"only the {'second' if first is None else 'first'} file has data")
    elif first.dtype.names or second.dtype.names:
        names = [name for name in first.dtype.names or () if name in (second.dtype.names or ())]
        for name in set(first.dtype.names or ()) ^ set(second.dtype.names or ()):
            yield Difference(f"{where} {name}", "only in one of the files")
        for name in names:
            yield from _of_numbers(f"{where} {name}", np.asarray(first[name]), np.asarray(second[name]))
    else:
        yield from _of_numbers(f"{where} pixels", first, second, unit)


def _of_tables(first: pa.Table, second: pa.Table) -> Iterator[Difference]:
    yield from _of_metadata(first.schema.metadata or {}, second.schema.metadata or {})
    if first.num_rows != second.num_rows:
        yield Difference("rows", f"{first.num_rows} and {second.num_rows}")
    for name in first.column_names:
        if name not in second.column_names:
            yield Difference(f"column {name}", "only in the first file")
            continue
        kinds = [table.schema.field(name).type for table in (first, second)]
        if kinds[0] != kinds[1]:
            yield Difference(f"column {name}", f"{kinds[0]} and {kinds[1]}")
        elif first.num_rows == second.num_rows and first[name] != second[name]:
            unit = (first.schema.field(name).metadata or {}).get(b"unit", b"").decode()
            yield from _of_columns(f"column {name}", first[name], second[name], unit)
    for name in second.column_names:
        if name not in first.column_names:
            yield Difference(f"column {name}", "only in the second file")


def _of_metadata(first: Mapping[bytes, bytes], second: Mapping[bytes, bytes]) -> Iterator[Difference]:
    for key in sorted((first.keys() | second.keys()) - {b"ARROW:schema"}):
        if first.get(key) != second.get(key):
            words = [
                value.decode(errors="replace") if value is not None else None
                for value in (first.get(key), second.get(key))
            ]
            yield Difference(f"metadata {key.decode()}", f"{words[0]!r} and {words[1]!r}")


def _of_columns(where: str, first: pa.ChunkedArray, second: pa.ChunkedArray, unit: str) -> Iterator[Difference]:
    if pa.types.is_floating(first.type) or pa.types.is_integer(first.type):
        numbers = (first.to_numpy(), second.to_numpy())
        yield from _of_numbers(where, *numbers, unit)
    else:
        n = sum(before != after for before, after in zip(first.to_pylist(), second.to_pylist(), strict=True))
        if n:
            yield Difference(where, f"{n} of {len(first)} values differ")


def _of_numbers(where: str, first: NDArray, second: NDArray, unit: str = "") -> Iterator[Difference]:
    """Difference of two arrays (...) of numbers or words; NaN equals NaN."""
    if first.shape != second.shape:
        yield Difference(where, f"shapes {first.shape} and {second.shape}")
        return
    if first.dtype.kind not in "fiub":
        n = np.count_nonzero(first != second)
        if n:
            yield Difference(where, f"{n} of {first.size} values differ")
        return
    both = np.isfinite(first) & np.isfinite(second)
    same = (first == second) | (np.isnan(first) & np.isnan(second))
    if n_blank := np.count_nonzero(~both & ~same):
        yield Difference(where, f"{n_blank} of {first.size} are not finite in one file, and otherwise in the other")
    step = second[both].astype(np.float64) - first[both].astype(np.float64)
    n = np.count_nonzero(step)
    if n:
        size = np.abs(step)
        scatter = 1.4826 * np.median(np.abs(step - np.median(step)))
        words = f"{n} of {first.size} differ: mean {step.mean():.4g}, rms {np.sqrt(np.mean(step**2)):.4g}, "
        words += f"robust scatter {scatter:.3g}, most {size.max():.4g} {unit}".rstrip()
        yield Difference(where, f"{words}, second minus first")
