"""Light curves of stars and of transients in the forms in which other programs read them."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from astropy import units
from astropy.table import Column as AstropyColumn
from astropy.table import Table
from astropy.time import Time
from astropy.timeseries import TimeSeries

from ztf_in2p3.light_curves.curves import band_name
from ztf_in2p3.tables.column import Column

Form = Literal["pandas", "astropy", "csv", "ecsv", "sncosmo", "snana"]
"""DataFrame, `astropy.timeseries.TimeSeries`, texts, astropy table with sncosmo's columns, text for SNANA."""

STAR_ZERO_POINT = 25.0
"""Magnitude of a flux of 1, where magnitudes of stars become fluxes."""
SNANA_ZERO_POINT = 27.5
"""Magnitude of a FLUXCAL of 1 (Kessler et al. 2009, PASP 121, 1028)."""
SYSTEM = "ab"
MAGNITUDES_OF_E = 2.5 / np.log(10)


def formed(frame: pd.DataFrame, form: Form, columns: Sequence[Column], about: Mapping[str, Any]) -> Any:
    """A light curve in a form.

    Parameters
    ----------
    frame
        Either that of a star, with mag, mag_e and flags, or that of a transient, with flux, flux_e and zero_point;
        mjd and band, both.
    columns
        Units and meanings of its columns, as far as they are known.
    about
        name, ra and dec (degrees), and whatever else goes into a header.
    """
    forms: dict[str, Callable[[], Any]] = {
        "pandas": lambda: frame,
        "astropy": lambda: time_series(frame, columns, about),
        "csv": lambda: frame.to_csv(index=False),
        "ecsv": lambda: ecsv(frame, columns, about),
        "sncosmo": lambda: sncosmo(frame, about),
        "snana": lambda: snana(frame, about),
    }
    if form not in forms:
        raise ValueError(f"form {form!r}: expected one of {', '.join(get_args(Form))}")
    return forms[form]()


def astropy_table(frame: pd.DataFrame, columns: Sequence[Column], about: Mapping[str, Any]) -> Table:
    """A frame as astropy's table with units and descriptions; columns of lists are left out, as no text holds them."""
    known = {column.name: column for column in columns}
    table = Table(meta=dict(about))
    for name in frame.columns:
        values = frame[name].to_numpy()
        if values.dtype == object and any(isinstance(value, list | np.ndarray) for value in values):
            continue
        if values.dtype.kind in "OU" or not isinstance(frame[name].dtype, np.dtype):
            values = np.array(["" if pd.isna(value) else str(value) for value in values], str)
        column = known.get(name)
        unit = units.Unit(column.unit) if column is not None and column.unit else None
        table[name] = AstropyColumn(values, unit=unit, description=column.doc if column is not None else None)
    return table


def ecsv(frame: pd.DataFrame, columns: Sequence[Column], about: Mapping[str, Any]) -> str:
    """Text with units and meanings in its header, which astropy and TOPCAT read."""
    text = io.StringIO()
    astropy_table(frame, columns, about).write(text, format="ascii.ecsv")
    return text.getvalue()


def time_series(frame: pd.DataFrame, columns: Sequence[Column], about: Mapping[str, Any]) -> TimeSeries:
    """Astropy's time series, in UTC."""
    table = astropy_table(frame, columns, about)
    time = Time(np.asarray(table["mjd"], float), format="mjd", scale="utc")
    table.remove_column("mjd")
    return TimeSeries(time=time, data=table)


def sncosmo(frame: pd.DataFrame, about: Mapping[str, Any]) -> Table:
    """Columns time, band, flux, fluxerr, zp, zpsys, as `sncosmo.fit_lc` takes them; rows without a flux are left out.

    The time is that of the middle of the exposure where it is known.
    """
    flux, error, zero_point = _fluxes(frame)
    known = np.isfinite(flux) & np.isfinite(error)
    start = frame["mjd"].to_numpy(float)
    middle = frame["mjd_mid"].to_numpy(float) if "mjd_mid" in frame else np.full(len(start), np.nan)
    columns = {
        "time": np.where(np.isfinite(middle), middle, start)[known],
        "band": np.array([band_name(band) for band in frame["band"]], str)[known],
        "flux": flux[known],
        "fluxerr": error[known],
        "zp": zero_point[known],
        "zpsys": np.full(int(known.sum()), SYSTEM),
    }
    return Table(columns, meta=dict(about))


def snana(frame: pd.DataFrame, about: Mapping[str, Any]) -> str:
    """Text for SNANA (its manual, section "Data file formats"): FLUXCAL of zero point 27.5."""
    rows = sncosmo(frame, about)
    scale = 10 ** (0.4 * (SNANA_ZERO_POINT - np.asarray(rows["zp"])))
    bands = [str(band)[-1] for band in rows["band"]]
    lines = [
        "SURVEY: ZTF",
        f"SNID: {about['name']}",
        f"FILTERS: {''.join(dict.fromkeys(bands))}",
        f"RA: {float(about['ra']):.7f} deg",
        f"DEC: {float(about['dec']):.7f} deg",
        f"NOBS: {len(rows)}",
        "NVAR: 4",
        "VARLIST: MJD FLT FLUXCAL FLUXCALERR",
    ]
    lines += [
        f"OBS: {row['time']:.6f} {band} {row['flux'] * factor:.6e} {row['fluxerr'] * factor:.6e}"
        for row, band, factor in zip(rows, bands, scale, strict=True)
    ]
    return "\n".join([*lines, "END:"]) + "\n"


def _fluxes(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flux, its standard deviation, and magnitude of a flux of 1.  (row,) each."""
    if "flux" in frame:
        flux, error, zero_point = (frame[name].to_numpy(float) for name in ("flux", "flux_e", "zero_point"))
        return flux, error, zero_point
    flux = 10 ** (-0.4 * (frame["mag"].to_numpy(float) - STAR_ZERO_POINT))
    return flux, flux * frame["mag_e"].to_numpy(float) / MAGNITUDES_OF_E, np.full(len(flux), STAR_ZERO_POINT)
