"""Star flats and ubercals of a table of one's own: pandas, astropy, Arrow, or a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ztf_in2p3.camera import Camera, camera_named
from ztf_in2p3.catalogue.column_maps import COLUMN_MAPS
from ztf_in2p3.catalogue.imported_file import ImportedFile, columns_for, table_files
from ztf_in2p3.catalogue.imported_rows import Wanted
from ztf_in2p3.catalogue.imported_table import scatter, sorted_partition
from ztf_in2p3.catalogue.numbering import names_table
from ztf_in2p3.errors import BadData
from ztf_in2p3.fit.parameter_table import parameter_table
from ztf_in2p3.fit.sources import TableSource
from ztf_in2p3.identifiers import SKY_FILTERS, Filter
from ztf_in2p3.periods import Period
from ztf_in2p3.recipes import ImportedColumns, StarflatRecipe, StarTableRecipe, UbercalRecipe
from ztf_in2p3.starflat.model import Starflat
from ztf_in2p3.starflat.model import fit_starflat as fit_starflat_table
from ztf_in2p3.starflat.tables import map_table, residual_table
from ztf_in2p3.tables.files import arrow_of
from ztf_in2p3.ubercal.model import Ubercal
from ztf_in2p3.ubercal.model import fit_ubercal as fit_ubercal_table
from ztf_in2p3.ubercal.tables import mean_stars, repeatability_table, zero_point_table

ALWAYS = Period(date(1980, 1, 1), date(2100, 1, 1))
EVERYTHING = StarTableRecipe(infobits=0, bright=-99.0, faint=99.0, signal_to_noise=0.0, observations=2)
"""No cuts but those without which nothing can be fitted: one's own table is cut already."""
_STARFLAT, _UBERCAL = StarflatRecipe(), UbercalRecipe()


@dataclass(frozen=True, eq=False)
class Measurements:
    """Measurements of stars in one filter, checked, under our names and sorted by star."""

    table: pa.Table
    """Columns `ztf_in2p3.tables.STAR_TABLE`."""
    filter: Filter
    counts: Mapping[str, int]
    """Rows found, left out by reason, and kept; stars."""
    names: pd.DataFrame
    """Column (star_id, exposure), number and name, where the table's own identifiers had to be numbered."""
    camera: Camera

    @property
    def left_out(self) -> dict[str, int]:
        """Rows that cannot be used, by reason."""
        return {reason: n for reason, n in self.counts.items() if n and reason not in ("found", "kept", "stars")}

    def named(self, frame: pd.DataFrame) -> pd.DataFrame:
        """A table of results with the identifiers of the table that was given."""
        frame = frame.copy()
        for column, known in self.names.groupby("column"):
            if column in frame:
                frame[column] = frame[column].map(dict(zip(known["number"], known["name"], strict=True)))
        return frame

    def __repr__(self) -> str:
        lost = ", ".join(f"{n} {reason}" for reason, n in self.left_out.items())
        kept = f"{self.counts['kept']} of {self.counts['found']} measurements of {self.counts['stars']} stars"
        return f"Measurements in {self.filter}: {kept}" + (f"; left out: {lost}" if lost else "")


def read_measurements(
    table: Any,
    *,
    columns: str | ImportedColumns = "auto",
    filter: str | None = None,
    camera: Camera | str = "ztf",
) -> Measurements:
    """Check a table of star measurements of any origin and bring it under our names.

    Parameters
    ----------
    table
        DataFrame, astropy or Arrow table, or a file (Parquet, FITS, CSV, ECSV, VOTable): a row a measurement, with
        star, exposure, rcid (or ccd and qid), mag and mag_e, and x, y, mjd, airmass, colour as far as a fit needs them.
    columns
        What the table calls them: a map, or the name of one (dataframe, startable, irsa, psfcat); guessed if not given.
    filter
        zg, zr or zi; needed only where the table has several.

    Raises
    ------
    BadData
        Something indispensable is missing, or no row can be used; the message says what was found.

    Examples
    --------
    >>> import ztf_in2p3 as ztf
    >>> table = ztf.example_measurements()
    >>> table.loc[0, "mag"] = float("nan")
    >>> ztf.read_measurements(table, camera="tiny").left_out["mag not finite"]
    1
    """
    mosaic = camera_named(camera) if isinstance(camera, str) else camera
    with TemporaryDirectory(prefix="ztf-table-") as folder:
        if isinstance(table, str | Path):
            paths = table_files(Path(table).expanduser())
        else:
            paths = [Path(folder) / "table.parquet"]
            pq.write_table(arrow_of(table), paths[0])
        names = _columns_map(columns, paths)
        recipe = replace(EVERYTHING, imported=names)
        parts = Path(folder) / "parts"
        parts.mkdir()
        scattered = scatter(paths, mosaic, recipe, Wanted(ALWAYS, _filters(filter, names, paths)), parts)
        if len(scattered.parts) > 1:
            several = ", ".join(sorted(str(group[0]) for group in scattered.parts))
            raise BadData(f"the table has measurements in {several}; a fit is of one filter: say which")
        group, files = next(iter(scattered.parts.items()))
        tables, counts = [], Counter(scattered.counts[group])
        for file in files:
            part, cut = sorted_partition(file, recipe)
            tables.append(part)
            counts.update(cut)
    joined = pa.concat_tables(tables).combine_chunks()
    named = names_table(scattered.names).to_pandas()
    return Measurements(joined, group[0], dict(counts), named, mosaic)


@dataclass(frozen=True, eq=False)
class StarflatFit:
    """The response of the focal plane fitted to a table, with its results as DataFrames."""

    solved: Starflat
    measurements: Measurements

    @property
    def map(self) -> pd.DataFrame:
        """Response (magnitudes to subtract) of each superpixel of each quadrant, with its error."""
        return map_table(self.solved, {"filter": str(self.measurements.filter)}).to_pandas()

    @property
    def parameters(self) -> pd.DataFrame:
        """Every parameter of the fit, with its error."""
        return parameter_table(self.solved.fit, {}).to_pandas()

    @property
    def residuals(self) -> pd.DataFrame:
        """Measured minus fitted magnitude of each measurement."""
        return self.measurements.named(residual_table(self.solved, self.measurements.table).to_pandas())

    def __repr__(self) -> str:
        return f"StarflatFit {self.solved!r}\n{self.measurements!r}"


@dataclass(frozen=True, eq=False)
class UbercalFit:
    """The zero points and mean stars fitted to a table, with its results as DataFrames."""

    solved: Ubercal
    measurements: Measurements

    @property
    def zero_points(self) -> pd.DataFrame:
        """Magnitudes to subtract, of each quadrant of each exposure, with error and connected component."""
        return self.measurements.named(zero_point_table(self.solved).to_pandas())

    @property
    def mean_stars(self) -> pd.DataFrame:
        """Mean magnitude of each star, with error and number of measurements."""
        parts = list(mean_stars(self.solved, TableSource(self.measurements.table), None))
        return self.measurements.named(pa.concat_tables(parts).to_pandas())

    @property
    def repeatability(self) -> pd.DataFrame:
        """Scatter of the stars that took no part in the fit, by magnitude."""
        return repeatability_table(self.solved).to_pandas()

    @property
    def parameters(self) -> pd.DataFrame:
        """Every parameter of the fit, with its error."""
        return parameter_table(self.solved.fit, {}).to_pandas()

    def __repr__(self) -> str:
        return f"UbercalFit {self.solved!r}\n{self.measurements!r}"


def fit_starflat(table: Any, recipe: StarflatRecipe = _STARFLAT, **reading: Any) -> StarflatFit:
    """Fit the response of the focal plane to a table of dithered measurements of one's own.

    Parameters
    ----------
    table
        As `read_measurements` takes it, or what that returned.
    recipe
        Model: simple, zp, color or full; superpixels a quadrant's side, and more.
    reading
        Further arguments of `read_measurements`: columns, filter, camera.

    Examples
    --------
    >>> import ztf_in2p3 as ztf
    >>> recipe = ztf.StarflatRecipe(model="zp", superpixels=1)
    >>> flat = ztf.fit_starflat(ztf.example_measurements(2000), recipe, camera="tiny")
    >>> len(flat.map), bool(flat.map["map"].std() < 0.1)  # magnitudes
    (64, True)
    """
    measurements = table if isinstance(table, Measurements) else read_measurements(table, **reading)
    return StarflatFit(fit_starflat_table(measurements.table, measurements.camera, recipe), measurements)


def fit_ubercal(table: Any, recipe: UbercalRecipe = _UBERCAL, **reading: Any) -> UbercalFit:
    """Fit the zero points of the exposures, and the mean stars, of a table of one's own.

    Parameters
    ----------
    table
        As `read_measurements` takes it, or what that returned.
    recipe
        Zero points: quadrant or hierarchical; colour, airmass, held out stars, and more.
    reading
        Further arguments of `read_measurements`: columns, filter, camera.

    Examples
    --------
    >>> import ztf_in2p3 as ztf
    >>> table = ztf.example_measurements(1000)
    >>> table["exposure"] = "night A, " + table["exposure"].astype(str)  # identifiers of any kind
    >>> ubercal = ztf.fit_ubercal(table, camera="tiny")
    >>> ubercal.zero_points["exposure"][0][:7], len(ubercal.zero_points) > 1000
    ('night A', True)
    """
    measurements = table if isinstance(table, Measurements) else read_measurements(table, **reading)
    return UbercalFit(fit_ubercal_table(measurements.table, measurements.camera, recipe), measurements)


def _columns_map(columns: str | ImportedColumns, paths: list[Path]) -> ImportedColumns:
    if isinstance(columns, ImportedColumns):
        return columns
    if columns == "auto":
        return columns_for(paths[0])
    if columns not in COLUMN_MAPS:
        raise ValueError(f"columns: {columns!r} is no map of columns; known: auto, {', '.join(COLUMN_MAPS)}")
    return COLUMN_MAPS[columns]


def _filters(filter: str | None, columns: ImportedColumns, paths: list[Path]) -> tuple[Filter, ...]:
    """Filters to take; a table that does not tell its filter is of whichever is asked for."""
    if filter is not None:
        return (Filter(filter),)
    files = [ImportedFile.open(path, columns) for path in paths]
    has_filter = all("filter" in file.names or "filter" in file.told for file in files)
    return SKY_FILTERS if has_filter else (Filter.ZR,)
