"""What planning a release of years costs: 2.4 million CCD exposures, half of them present, from a simulated listing.

    python -m benchmarks.release

The listing of the store is simulated path by path, as a place answers it, month by month.
"""

from __future__ import annotations

import resource
import time

import numpy as np
import pyarrow as pa

from ztf_in2p3 import recipes
from ztf_in2p3.identifiers import N_CCD
from ztf_in2p3.products import Kind
from ztf_in2p3.release.definition import Release
from ztf_in2p3.release.listing import RAW_FILES, data_ids, present_in
from ztf_in2p3.release.plan import plan_of
from ztf_in2p3.release.summary import counted
from ztf_in2p3.store.backends import Stat

N_EXPOSURE = 150_000
"""Of 16 CCDs each: 2.4 million CCD exposures."""
RELEASE = Release.from_words({"name": "years", "nights": "20180101_20231231"})


def exposures() -> list[str]:
    """Data ids of exposures, spread over the nights of six years and three filters."""
    nights = np.arange(np.datetime64("2018-01-01"), np.datetime64("2024-01-01"))
    random = np.random.default_rng(1)
    dates = np.sort(random.integers(0, len(nights), N_EXPOSURE))
    return [
        f"{str(nights[day]).replace('-', '')}{k % 10**6:06d}_{655 + k % 300:06d}_{('zg', 'zr', 'zi')[k % 3]}_o"
        for k, day in enumerate(dates)
    ]


class SimulatedFiles:
    """Catalogues of every second exposure, file and manifest."""

    def __init__(self, names: list[str]) -> None:
        self.catalogues = f"{Kind.CATALOGUE}/{recipes.digest(RELEASE.catalogue)}"
        self.months: dict[str, list[str]] = {}
        for name in names[::2]:
            self.months.setdefault(name[:6], []).append(name)

    def list(self, folder: str, prefix: str = "") -> dict[str, Stat]:
        if folder != self.catalogues:
            return {}
        return {
            f"{folder}/{name}/c{ccd:02d}/{file}": Stat(60000, f"{n}.{ccd}")
            for n, name in enumerate(self.months.get(prefix, ()))
            for ccd in range(1, N_CCD + 1)
            for file in (f"ztfin2p3_{name[:-2]}_c{ccd:02d}_o_apcat.parquet", "manifest.json")
        }


class SimulatedStore:
    """What a plan asks of a store."""

    def __init__(self, files: SimulatedFiles) -> None:
        self.files = files


def listing(names: list[str]) -> pa.Table:
    """Raw files of the exposures, and ten biases and flats of each filter on the first of each month."""
    sky = np.repeat(np.array([int(name[:14]) for name in names]), N_CCD)
    codes = np.repeat(np.array([name[22:24] for name in names]), N_CCD)
    months = [f"{year}{month:02d}01" for year in range(2018, 2024) for month in range(1, 13)]
    frames = [
        (int(f"{month}{900000 + 10 * n + k}"), code, kind)
        for month in months
        for n, (code, kind) in enumerate([("bi", "b"), ("zg", "f"), ("zr", "f"), ("zi", "f")])
        for k in range(10)
    ]
    dates, filters, types = (np.repeat(np.array(column), N_CCD) for column in zip(*frames, strict=True))
    dates, filters = np.concatenate([sky, dates]), np.concatenate([codes, filters])
    types = np.concatenate([np.full(len(sky), "o"), types])
    ccds = np.tile(np.arange(1, N_CCD + 1), len(dates) // N_CCD)
    columns = [dates, np.full(len(dates), 655), filters, types, ccds]
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, RAW_FILES, strict=True)], RAW_FILES)


def main() -> None:
    names = exposures()
    files, raws = SimulatedFiles(names), listing(names)
    start, cpu = time.perf_counter(), time.process_time()
    present = present_in(SimulatedStore(files), RELEASE)  # type: ignore[arg-type]
    looked_up = time.perf_counter()
    plan = plan_of(RELEASE, raws, present)
    rows = counted(plan)
    end = time.perf_counter()
    for row in rows:
        print(row)
    print(
        f"{plan.num_rows} products planned in {end - start:.1f} s ({time.process_time() - cpu:.1f} CPU s), of which "
        f"{looked_up - start:.1f} s for the listing; "
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GB at most, the simulation included"
    )
    assert len(data_ids(files, files.catalogues, "201901")) > 0


if __name__ == "__main__":
    main()
