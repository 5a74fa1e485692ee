"""A survey's solution put to use: every measurement of a star table calibrated, with its error and flags."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntFlag
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ztf_in2p3.errors import BadData
from ztf_in2p3.tables.column import numbers

Columns = Mapping[str, NDArray]
_CHANNELS = 64


class PointFlag(IntFlag):
    """What is to be known of a measurement of a light curve."""

    UNCALIBRATED = 1
    """No zero point: nothing connects the quadrant's exposure with others."""
    DOUBTED = 2
    """The zero point hangs on few measurements or stars, or many of them were rejected."""
    CLOUDS = 4
    """The exposure was not taken through a clear sky; its zero point allows for that."""
    OUTLIER = 8
    """Further from the star's median than the recipe's clip."""
    APART = 16
    """The zero point is of another part of the sky than most of the star's: its level is not comparable."""
    NO_COLOUR = 32
    """The star has no colour, which the calibration asks for: the sample's mean was taken."""


@dataclass(frozen=True, slots=True, eq=False)
class SurveyCalibration:
    """Zero points and other terms of a solved survey, ready to be looked up.  Arrays by quadrant exposure."""

    code: NDArray[np.int64]
    """Exposure and rcid as one number, ascending."""
    zero_point: NDArray[np.float64]
    sigma: NDArray[np.float64]
    """Errors of the zero points alone: with an airmass term they hold what is exchanged between the two, and errors of
    measurements come out too large (pulls of 0.7 where a night's airmass hardly changes over the camera)."""
    component: NDArray[np.int64]
    flags: NDArray[np.int64]
    """Bits of `PointFlag`."""
    error_factor: NDArray[np.float64]
    airmass: tuple[NDArray[np.float64], NDArray[np.float64]]
    """Nights (mjd) and their coefficients, mag per airmass; both (night,), empty without such a term."""
    colour: NDArray[np.float64]
    """(rcid,): coefficients, mag per mag; empty without such a term."""
    colour_centre: float
    polynomial: tuple[NDArray[np.float64], float, float]
    """Logarithm of the variance over the claimed one: coefficients, middle and half width of the magnitudes."""
    levels: Mapping[int, float]
    """Magnitude that an external catalogue takes from each component; empty: there was none."""

    @classmethod
    def of_tables(cls, zero_points: pa.Table, parameters: pa.Table) -> Self:
        """Take the products `zeropoints` and `ubercal` of a survey.

        Raises
        ------
        BadData
            They do not say all that applying them needs.
        """
        metadata: Mapping[bytes, bytes] = parameters.schema.metadata or {}
        if b"colour_centre" not in metadata or b"errors" not in metadata:
            raise BadData(
                "the survey's parameters lack colour_centre or errors in their metadata; expected both, as the flow "
                "ubercal writes them now: remove them and run it again"
            )
        errors = json.loads(metadata[b"errors"])
        code = _code(zero_points["exposure"].to_numpy(), zero_points["rcid"].to_numpy())
        order = np.argsort(code)
        column = {name: zero_points[name].to_numpy(zero_copy_only=False)[order] for name in zero_points.column_names}
        flags = np.where(np.isnan(column["zero_point"]), PointFlag.UNCALIBRATED, 0)
        flags |= np.where(column["flag"] != 0, PointFlag.DOUBTED, 0)
        flags |= np.where(column["photometric"], 0, PointFlag.CLOUDS)
        colours = _family(parameters, "colour_map")[1]
        return cls(
            code[order],
            column["zero_point"],
            np.nan_to_num(column["sigma"]),
            column["component"].astype(np.int64),
            flags.astype(np.int64),
            np.nan_to_num(column["error_factor"], nan=1.0),
            _family(parameters, "airmass"),
            np.nan_to_num(colours),
            float(metadata[b"colour_centre"]),
            (np.array(errors["polynomial"]), errors["middle"], errors["half"]),
            {int(k): float(v) for k, v in json.loads(metadata.get(b"levels", b"{}")).items()},
        )

    def quadrants(self, rows: Columns) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Place of each measurement's quadrant exposure in the arrays, and whether it is there.  Both (row,)."""
        wanted = _code(rows["exposure"], rows["rcid"])
        at = np.minimum(np.searchsorted(self.code, wanted), max(len(self.code) - 1, 0))
        return at, self.code[at] == wanted if len(self.code) else np.zeros(len(wanted), bool)

    def terms(self, rows: Columns) -> NDArray[np.float64]:
        """Magnitudes to subtract besides zero points, of colour and airmass, as (row,)."""
        total = np.zeros(len(rows["mag"]))
        nights, coefficients = self.airmass
        if len(nights):
            night = np.floor(rows["mjd"])
            at = np.minimum(np.searchsorted(nights, night), len(nights) - 1)
            total += np.where(nights[at] == night, coefficients[at], np.nan) * (rows["airmass"].astype(float) - 1)
        if len(self.colour):
            total += self.colour[rows["rcid"]] * np.nan_to_num(rows["colour"].astype(float) - self.colour_centre)
        return total

    def error_factors(self, mag: NDArray[np.float64]) -> NDArray[np.float64]:
        """What errors of stars of these instrumental magnitudes are multiplied with.  Both (row,)."""
        coefficients, middle, half = self.polynomial
        at = np.clip((mag - middle) / half, -1, 1)
        return np.asarray(np.exp(np.polynomial.polynomial.polyval(at, coefficients) / 2))


def measurement_errors(
    sigma: NDArray[np.float64],
    zero_point_sigma: NDArray[np.float64],
    share: NDArray[np.float64],
    fitted: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Standard deviation of calibrated measurements.  All (row,).

    A measurement that took no part in the fit has its own error and its zero point's.  One that did has pulled the zero
    point after itself: with p = C A' W y the covariance of its noise with its zero point is s^2 (1 - h), so that
    var = sigma^2 - s^2 (1 - 2 h).  Where the zero point is little better known than by this measurement alone, that
    difference of large numbers is worth nothing, and the sum is taken.

    Parameters
    ----------
    sigma
        Error of the measurement alone, magnitudes.
    zero_point_sigma
        Error s of its zero point.
    share
        Part h that the measurement has of the weight of its star.
    fitted
        The measurement took part in the fit.
    """
    variance, of_zero_point = sigma**2, zero_point_sigma**2
    pulled = fitted & (of_zero_point < variance / 2)
    return np.sqrt(variance + of_zero_point * np.where(pulled, 2 * share - 1, 1.0))


def _code(exposure: NDArray, rcid: NDArray) -> NDArray[np.int64]:
    return np.asarray(exposure, np.int64) * _CHANNELS + np.asarray(rcid, np.int64)


def _family(parameters: pa.Table, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Labels and values of a family of parameters, by label; both (parameter,), empty if there is none."""
    rows = np.flatnonzero(np.asarray(parameters["family"].to_pylist(), object) == name)
    label, value = (numbers(parameters, column)[rows] for column in ("label", "value"))
    order = np.argsort(label)
    return label[order], value[order]
