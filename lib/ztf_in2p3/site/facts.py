"""What the pages of a store show of a night: small values, from manifests and tables of numbers, never from pixels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ztf_in2p3.products import Built, ccd_of, exposure_of
from ztf_in2p3.robust_statistics import finite_median
from ztf_in2p3.tables.column import numbers

NO_REPORT = "unreported"
"""Verdict on a night of which there is no report."""

EXPOSURE_TRENDS = {"seeing": "pix", "background": "adu", "background_rms": "adu", "n_star": "stars"}
"""Columns of a night's summary that are followed by quadrant, and their units."""
DETECTOR_TRENDS = {
    "drift": "adu",
    "overscan_rms": "adu",
    "overscan_noise": "adu",
    "first_columns": "adu",
    "first_overscan": "adu",
    "pixel_noise": "",
}
"""Columns of the detector's numbers that are followed by quadrant, and their units."""
CCD_TRENDS = {"flat level": "adu", "bad pixels": "fraction", "excess noise of the bias": ""}
"""What is followed by CCD or quadrant from masters, and its units."""


@dataclass(frozen=True, slots=True)
class ExposureRow:
    """An exposure of the sky: what came of its CCDs.  A number that nobody knows is None."""

    exposure: str
    filter: str
    field: int
    n_raw: int
    """CCDs with a raw frame."""
    n_catalogue: int
    """CCDs with an aperture catalogue."""
    seeing: float | None
    """Pixels, median over the CCDs."""
    background: float | None
    """ADU, median over the CCDs."""
    n_star: int

    @property
    def lacking(self) -> int:
        """CCDs that were read out and have no catalogue."""
        return max(self.n_raw - self.n_catalogue, 0)


@dataclass(frozen=True, slots=True)
class NightFacts:
    """A night on the pages."""

    night: str
    """YYYYMMDD."""
    key: str
    """Digest of the products that these facts are from."""
    verdict: str = NO_REPORT
    verdict_text: str = ""
    exposures: Sequence[ExposureRow] = ()
    trends: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    """Median of the night, by quantity, filter (empty: of none) and rcid as text."""

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` is the inverse."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> NightFacts:
        """Inverse of `to_json`."""
        return cls(**{**values, "exposures": [ExposureRow(**row) for row in values["exposures"]]})


def exposure_rows(raws: Iterable[Built], catalogues: Iterable[Built]) -> list[ExposureRow]:
    """Exposures of the sky of a night: those that lack most first, then in order of time."""
    read: dict[Any, set[int]] = defaultdict(set)
    measured: dict[Any, dict[int, Built]] = defaultdict(dict)
    for raw in raws:
        if exposure_of(raw.ref).image_type.value == "o":
            read[exposure_of(raw.ref)].add(ccd_of(raw.ref).ccdid)
    for catalogue in catalogues:
        measured[exposure_of(catalogue.ref)][ccd_of(catalogue.ref).ccdid] = catalogue
    rows = []
    for exposure in read.keys() | measured.keys():
        of_ccd = measured[exposure]
        rows.append(
            ExposureRow(
                str(exposure.filefracday),
                str(exposure.filter),
                exposure.field,
                len(read[exposure] | of_ccd.keys()),
                len(of_ccd),
                _median(of_ccd.values(), "seeing"),
                _median(of_ccd.values(), "background"),
                sum(int(catalogue.about.get("n_stars") or 0) for catalogue in of_ccd.values()),
            )
        )
    return sorted(rows, key=lambda row: (-row.lacking, row.exposure))


def _median(products: Iterable[Built], name: str) -> float | None:
    values = [float(product.about[name] or 0) for product in products if product.about.get(name) is not None]
    middle = finite_median(np.array(values)) if values else np.nan
    return round(float(middle), 4) if np.isfinite(middle) else None


def medians_by_ccd(catalogues: Iterable[Built]) -> dict[str, dict[str, dict[str, float]]]:
    """Medians over a night as `medians_by_quadrant`, from what the manifests of catalogues say of whole CCDs."""
    groups: dict[tuple[str, int], list[Built]] = defaultdict(list)
    for catalogue in catalogues:
        groups[str(exposure_of(catalogue.ref).filter), ccd_of(catalogue.ref).ccdid].append(catalogue)
    return merged(
        {name: {filter: of_ccd(ccdid, middle)}}
        for (filter, ccdid), members in groups.items()
        for name in ("seeing", "background", "background_rms")
        if (middle := _median(members, name)) is not None
    )


def medians_by_quadrant(table: pa.Table, names: Iterable[str]) -> dict[str, dict[str, dict[str, float]]]:
    """Medians over a night by quantity, filter (empty without one) and rcid; what is not finite is left out.

    Parameters
    ----------
    table
        Columns rcid, filter if there is one, and those of the names.
    """
    rcid = table["rcid"].to_numpy()
    filters = np.asarray(table["filter"].to_pylist() if "filter" in table.column_names else [""] * len(rcid), object)
    return {
        name: {
            str(filter): _by_channel(numbers(table, name)[filters == filter], rcid[filters == filter])
            for filter in sorted(set(filters.tolist()))
        }
        for name in names
    }


def _by_channel(values: NDArray[np.float64], rcid: NDArray) -> dict[str, float]:
    medians = {str(channel): finite_median(values[rcid == channel]) for channel in np.unique(rcid).tolist()}
    return {channel: float(f"{value:.5g}") for channel, value in medians.items() if np.isfinite(value)}


def merged(parts: Iterable[Mapping[str, Mapping[str, Mapping[str, float]]]]) -> dict[str, dict[str, dict[str, float]]]:
    """One set of trends of many: later ones complete earlier ones."""
    whole: dict[str, dict[str, dict[str, float]]] = {}
    for part in parts:
        for name, by_filter in part.items():
            for filter, values in by_filter.items():
                whole.setdefault(name, {}).setdefault(filter, {}).update(values)
    return whole


def of_ccd(ccdid: int, value: float) -> dict[str, float]:
    """A number of a CCD, as that of its quadrants by rcid."""
    return {str(4 * (ccdid - 1) + quadrant): float(f"{value:.5g}") for quadrant in range(4)}
