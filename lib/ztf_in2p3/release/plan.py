"""The plan of a release: every product to be, and whether it is present, to make, or cannot be made and why.

Masters are planned month by month.  A catalogue takes the nearest flat of its filter and CCD, present or planned,
within the days that its recipe tolerates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ztf_in2p3.identifiers import Filter
from ztf_in2p3.periods import Period
from ztf_in2p3.products import Kind
from ztf_in2p3.release.definition import Release
from ztf_in2p3.release.listing import Present, filter_numbers, keys_of, months_of

PRESENT, TO_MAKE, IMPOSSIBLE = "present", "to make", "cannot be made"
STATES = (PRESENT, TO_MAKE, IMPOSSIBLE)
SCHEMA = pa.schema(
    [
        pa.field("kind", pa.dictionary(pa.int8(), pa.string()), metadata={"description": "kind of the product"}),
        pa.field("month", pa.int32(), metadata={"description": "month of its night, 201904; 0 of the whole release"}),
        pa.field("filter", pa.dictionary(pa.int8(), pa.string()), metadata={"description": "empty for a bias"}),
        pa.field("ccdid", pa.int8(), metadata={"description": "CCD, 1 to 16; 0 of all"}),
        pa.field("filefracday", pa.int64(), metadata={"description": "exposure, 14 digits; 0 of none"}),
        pa.field("masters", pa.dictionary(pa.int16(), pa.string()), metadata={"description": "period of its masters"}),
        pa.field("state", pa.dictionary(pa.int8(), pa.string()), metadata={"description": ", ".join(STATES)}),
        pa.field("reason", pa.dictionary(pa.int8(), pa.string()), metadata={"description": "why it cannot be made"}),
    ]
)


def plan_of(release: Release, listing: pa.Table, present: Present) -> pa.Table:
    """All products of a release (`SCHEMA`), in the order in which they are made.

    Parameters
    ----------
    listing
        Raw files, present or not, with the columns of `listing.RAW_FILES`.
    """
    listing = _of_release(release, listing)
    biases = _masters(release, listing, present, Kind.BIAS, {})
    of_biases = _periods(biases)
    flats = _masters(release, listing, present, Kind.FLAT, of_biases)
    catalogues = _catalogues(release, listing, present, _periods(flats))
    return pa.concat_tables([biases, flats, catalogues, _of_survey(release, catalogues, present)]).unify_dictionaries()


def _of_release(release: Release, listing: pa.Table) -> pa.Table:
    """Raw files of the nights, CCDs, fields and filters of a release; calibration frames have no field."""
    night = listing["filefracday"].to_numpy() // 10**6
    first, last = (int(f"{day:%Y%m%d}") for day in (release.nights.first, release.nights.last))
    used = (night >= first) & (night <= last) & np.isin(listing["ccdid"].to_numpy(), release.ccds)
    types = np.asarray(listing["imgtypecode"].to_numpy(), dtype="U1")
    used &= (filter_numbers(listing["filtercode"], release.filters) >= 0) | (types == "b")
    if release.fields:
        used &= np.isin(listing["field"].to_numpy(), release.fields) | (types != "o")
    return listing.filter(pa.array(used))


def _masters(
    release: Release,
    listing: pa.Table,
    present: Present,
    kind: Kind,
    biases: Mapping[tuple[str, int], list[Period]],
) -> pa.Table:
    """Biases or flats of each month; a flat needs a bias of its month."""
    least = release.catalogue.quadrant.focal_plane.flat.led.bias.frames.least_frames
    counts = _frame_counts(release, listing, "b" if kind is Kind.BIAS else "f")
    word = "bias" if kind is Kind.BIAS else "flat"
    rows = []
    for month in months_of(release.nights):
        period = nights_of(month, release.nights)
        for filter in [""] if kind is Kind.BIAS else release.filters:
            for ccdid in release.ccds:
                n = counts.get((int(month), str(filter), ccdid), 0)
                if period in present.masters.get((kind, str(filter), ccdid), ()):
                    state, reason = PRESENT, ""
                elif n < least:
                    state, reason = IMPOSSIBLE, f"{word} frames listed: {n}, expected at least {least}"
                elif kind is Kind.FLAT and period not in biases.get(("", ccdid), ()):
                    state, reason = IMPOSSIBLE, "no bias of its month"
                else:
                    state, reason = TO_MAKE, ""
                rows.append((str(kind), int(month), str(filter), ccdid, 0, str(period), state, reason))
        # Masters of other periods, of one night for instance, are used as they are.
    for (present_kind, filter_code, ccdid), periods in present.masters.items():
        if present_kind is kind and ccdid in release.ccds and (not filter_code or filter_code in release.filters):
            for period in periods:
                month = f"{period.first:%Y%m}"
                if month not in months_of(release.nights) or period != nights_of(month, release.nights):
                    rows.append((str(kind), int(month), filter_code, ccdid, 0, str(period), PRESENT, ""))
    return _table(rows)


def _frame_counts(release: Release, listing: pa.Table, image_type: str) -> dict[tuple[int, str, int], int]:
    """Numbers of frames by month, filter (empty for biases) and CCD."""
    types = np.asarray(listing["imgtypecode"].to_numpy(), dtype="U1")
    frames = listing.filter(pa.array(types == image_type))
    month = frames["filefracday"].to_numpy() // 10**8
    number = filter_numbers(frames["filtercode"], release.filters) if image_type == "f" else np.zeros(len(month), int)
    parts = np.stack([month, number.astype(np.int64), frames["ccdid"].to_numpy().astype(np.int64)])
    unique, counts = np.unique(parts, axis=1, return_counts=True)
    return {
        (int(month), str(release.filters[number]) if image_type == "f" else "", int(ccdid)): int(n)
        for (month, number, ccdid), n in zip(unique.T, counts, strict=True)
    }


def _periods(masters: pa.Table) -> dict[tuple[str, int], list[Period]]:
    """Periods of the masters that are present or planned, by filter and CCD."""
    periods: dict[tuple[str, int], list[Period]] = {}
    for row in masters.select(["filter", "ccdid", "masters", "state"]).to_pylist():
        if row["state"] != IMPOSSIBLE:
            periods.setdefault((row["filter"], row["ccdid"]), []).append(Period.parse(row["masters"]))
    return {part: sorted(set(within)) for part, within in periods.items()}


def _catalogues(
    release: Release, listing: pa.Table, present: Present, flats: Mapping[tuple[str, int], list[Period]]
) -> pa.Table:
    """Catalogues of all exposures of the sky, in the order of time."""
    types = np.asarray(listing["imgtypecode"].to_numpy(), dtype="U1")
    sky = listing.filter(pa.array(types == "o"))
    keys = keys_of(sky["filefracday"].to_numpy(), sky["ccdid"].to_numpy())
    _, first = np.unique(keys, return_index=True)  # sorted, and a file listed twice counts once
    sky, keys = sky.take(pa.array(first)), keys[first]
    number, ccdid = filter_numbers(sky["filtercode"], release.filters), sky["ccdid"].to_numpy()
    filefracday = sky["filefracday"].to_numpy()
    nights, of_night = np.unique(filefracday // 10**6, return_inverse=True)
    names = sorted({str(period) for periods in flats.values() for period in periods})
    chosen = np.full(len(keys), -1, np.int16)
    tolerance = release.catalogue.quadrant.tolerance_days
    for (filter_code, ccd), periods in flats.items():
        nearest = np.array([-1, *(names.index(str(period)) for period in periods)], np.int16)[
            _nearest(_days(nights), periods, tolerance) + 1
        ]
        members = (number == release.filters.index(Filter(filter_code))) & (ccdid == ccd)
        chosen[members] = nearest[of_night[members]]
    is_present = np.isin(keys, present.catalogues, assume_unique=True)
    state = np.where(is_present, 0, np.where(chosen >= 0, 1, 2)).astype(np.int8)
    reasons = ["", f"no flat of its filter and CCD within {tolerance} days"]
    columns = [
        _repeated(Kind.CATALOGUE, len(keys)),
        pa.array((filefracday // 10**8).astype(np.int32)),
        pa.DictionaryArray.from_arrays(pa.array(number), pa.array([str(code) for code in release.filters])),
        pa.array(ccdid),
        pa.array(filefracday),
        pa.DictionaryArray.from_arrays(pa.array(chosen + np.int16(1)), pa.array(["", *names])),
        pa.DictionaryArray.from_arrays(pa.array(state), pa.array(STATES)),
        pa.DictionaryArray.from_arrays(pa.array((state == 2).astype(np.int8)), pa.array(reasons)),
    ]
    return pa.table(columns, schema=SCHEMA)


def _nearest(days: NDArray[np.int64], periods: list[Period], tolerance: int) -> NDArray[np.int64]:
    """Index (night,) of the nearest period for each day (night,); -1 where none is within the tolerance."""
    first, last = (
        np.array([getattr(period, end) for period in periods], "M8[D]").astype(int) for end in ("first", "last")
    )
    distance = np.maximum(np.maximum(first - days[:, None], days[:, None] - last), 0)
    nearest = distance.argmin(axis=1)
    return np.where(distance[np.arange(len(days)), nearest] <= tolerance, nearest, -1)


def _days(nights: NDArray[np.int64]) -> NDArray[np.int64]:
    """Days (night,) since 1970 of nights (night,) written as 20190405."""
    return np.array(
        [f"{night // 10000}-{night // 100 % 100:02d}-{night % 100:02d}" for night in nights], "M8[D]"
    ).astype(int)


def _of_survey(release: Release, catalogues: pa.Table, present: Present) -> pa.Table:
    """Star tables and zero points of each filter, of the whole release."""
    rows = []
    states = catalogues["state"].combine_chunks().indices.to_numpy()
    numbers = catalogues["filter"].combine_chunks().indices.to_numpy()
    for kind in (Kind.STAR_INDEX, Kind.ZERO_POINTS):
        for number, filter in enumerate(release.filters):
            usable = np.any((numbers == number) & (states < 2))
            state = PRESENT if (kind, str(filter)) in present.tables else TO_MAKE if usable else IMPOSSIBLE
            reason = "" if state != IMPOSSIBLE else "no catalogue of its filter"
            rows.append((str(kind), 0, str(filter), 0, 0, "", state, reason))
    return _table(rows)


def nights_of(month: str, nights: Period) -> Period:
    """The nights of a month that belong to a release."""
    first = np.datetime64(f"{month[:4]}-{month[4:]}", "M")
    last = (first + 1).astype("M8[D]") - 1
    return Period(max(first.astype("M8[D]").item(), nights.first), min(last.item(), nights.last))


def _table(rows: Sequence[tuple[object, ...]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(SCHEMA)
    arrays = []
    for field, column in zip(SCHEMA, columns, strict=True):
        is_coded = pa.types.is_dictionary(field.type)
        plain = pa.array(column, field.type.value_type if is_coded else field.type)
        arrays.append(plain.dictionary_encode().cast(field.type) if is_coded else plain)
    return pa.table(arrays, schema=SCHEMA)


def _repeated(kind: Kind, n: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int8)), pa.array([str(kind)]))
