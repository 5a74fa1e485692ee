"""The response of a CCD's readout channels, from flats of one lamp with several exposure times.

A pixel of response R in the light L_e of frame e holds R L_e, and shows x with x / (a x^2 + b x + 1) = R L_e.
The median over a quadrant passes through a growing function unchanged, so the quadrant's median obeys
the same equation.  What flats can and cannot tell:

- The scale of R and L is one: a lamp twice as bright is a CCD twice as sensitive.  Nothing depends on it.
- The four channels see the same L_e, so how they differ from each other is known from the photons' noise
  alone, whatever the lamp does.
- What they have in common is degenerate with the lamp: any light will do, if it may be any function of
  the frame.  The gauge that decides is the clock: light proportional to the exposure time on average,
  with a scatter from frame to frame that the recipe states.  Lamps that need time to warm up, or a shutter that
  opens late, would bend all four channels alike, and the errors given here do not know of that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.optimize import least_squares

from ztf_in2p3.camera import Camera
from ztf_in2p3.cards import number, required_number
from ztf_in2p3.errors import BadData
from ztf_in2p3.frames import RawCcd
from ztf_in2p3.identifiers import N_QUADRANT, Quadrant
from ztf_in2p3.periods import Period
from ztf_in2p3.recipes import LinearityRecipe
from ztf_in2p3.sensor.linearity import Linearity, linearity_of
from ztf_in2p3.sensor.readout import Pockets, Readout
from ztf_in2p3.tables import LINEARITY, schema_of

_BAND, _BANDS = 16, 24
"""Rows of a band of which the median is taken, and number of bands."""
_OFFSET_ADU = 0.05
"""Error of the offset of a frame."""
_NEAR_SATURATION = 0.9
"""Fraction of saturation; brighter frames are left out."""
_SAME_POWER = 1.05
"""Ratio up to which two powers of a lamp are the same one, with its scatter."""
_SCALE = np.array([1e-11, 1e-6])
"""Units of a (ADU^-2) and b (ADU^-1), about the values in the table."""


@dataclass(frozen=True, slots=True, eq=False)
class FlatLevel:
    """What the four channels of a CCD showed of one flat."""

    led: int
    power: float
    exptime: float
    """Seconds."""
    shown: NDArray[np.float64]
    """(quadrant,) median over the offset, bias included, ADU."""
    bias: NDArray[np.float64]
    """(quadrant,) median of the bias where it was taken, ADU."""
    error: NDArray[np.float64]
    """(quadrant,) of the median, ADU."""

    @classmethod
    def measure(
        cls,
        path: Path,
        bias: Mapping[int, NDArray[np.float32]],
        camera: Camera,
        ccdid: int,
        recipe: LinearityRecipe,
        pockets: Pockets | None = None,
    ) -> FlatLevel:
        """Measure a raw file.  BadData if it is none of this CCD, or has no exposure time.

        `bias`: (row, column) each, by qid.
        """
        sensor = replace(recipe.bias.sensor, linearise=False)
        rows = _bands(camera.shape[0])
        with RawCcd.open(path, camera, ccdid) as raw:
            exptime = required_number(raw.header, "EXPTIME", str(path), "a time in seconds", positive=True)
            signal, biases, error = [], [], []
            for qid in range(1, N_QUADRANT + 1):
                readout = Readout.of_light(raw, qid, sensor, bias[qid], pockets=pockets)
                under = np.concatenate([bias[qid][band] for band in rows])
                light = np.concatenate([readout.linear(raw.pixels(qid, band), band) for band in rows]) - under
                middle, below = float(np.nanmedian(light)), float(np.nanmedian(under))
                noise = max(middle, 0.0) / readout.gain + readout.read_noise**2
                signal.append(middle + below)
                biases.append(below)
                error.append(np.hypot(np.sqrt(np.pi / 2 * noise / light.size), _OFFSET_ADU))
            power = number(raw.header, "ILUMPOWR") or 0.0
            return cls(raw.led, power, exptime, np.array(signal), np.array(biases), np.array(error))


@dataclass(frozen=True, slots=True, eq=False)
class LinearityFit:
    """Responses of the four channels of a CCD."""

    responses: tuple[Linearity, ...]
    """Responses, by qid - 1."""
    covariances: NDArray[np.float64]
    """(quadrant, 2, 2) of a and b."""
    used: tuple[int, ...]
    """Which of the flats."""
    shown: NDArray[np.float64]
    """(flat used, quadrant) ADU."""
    light: NDArray[np.float64]
    """(flat used, quadrant) light that the fit says there was: R t times the lamp's factor, plus bias, linear ADU."""
    lamp: NDArray[np.float64]
    """(flat used,) lamp over its mean, less 1."""
    chi2: float
    """Per degree of freedom."""


def fit_linearity(flats: Sequence[FlatLevel], camera: Camera, recipe: LinearityRecipe) -> LinearityFit:
    """Fit a and b of each channel, a response of each channel and lamp, and a factor of each frame.

    Raises
    ------
    BadData
        No lamp has frames of levels that span the recipe's range.
    """
    used, group = _chosen(flats, camera, recipe)
    chosen = [flats[i] for i in used]
    signal, bias, error = (np.array([getattr(flat, name) for flat in chosen]) for name in ("shown", "bias", "error"))
    exptime = np.log([flat.exptime for flat in chosen])[:, np.newaxis]
    n_flat, n_group = len(chosen), int(group.max()) + 1
    relative = error / (signal - bias)

    def parts(theta: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        """a and b (quadrant, 2), response (group, quadrant), lamp (flat,)."""
        bent, response, lamp = np.split(theta, [2 * N_QUADRANT, (2 + n_group) * N_QUADRANT])
        return bent.reshape(-1, 2) * _SCALE, response.reshape(n_group, -1), lamp

    def residuals(theta: NDArray) -> NDArray:
        bent, response, lamp = parts(theta)
        true = signal / ((bent[:, 0] * signal + bent[:, 1]) * signal + 1) - bias
        left = np.log(np.maximum(true, 1e-3)) - response[group] - exptime - lamp[:, np.newaxis]
        return np.concatenate([(left / relative).ravel(), lamp / recipe.lamp_scatter])

    rate = np.log(signal - bias) - exptime
    start = [np.mean(rate[group == g], axis=0) for g in range(n_group)]
    theta = np.concatenate([np.zeros(2 * N_QUADRANT), *start, np.zeros(n_flat)])
    solution = least_squares(residuals, theta, x_scale="jac", method="lm")
    bent, response, lamp = parts(solution.x)
    chi2 = float(2 * solution.cost / max(signal.size + n_flat - len(theta), 1))
    covariance = np.linalg.inv(solution.jac.T @ solution.jac) * max(chi2, 1.0)
    blocks = [slice(2 * q, 2 * q + 2) for q in range(N_QUADRANT)]
    return LinearityFit(
        tuple(Linearity(float(a), float(b)) for a, b in bent),
        np.array([covariance[q, q] * np.outer(_SCALE, _SCALE) for q in blocks]),
        used,
        signal,
        np.exp(response[group] + exptime + lamp[:, np.newaxis]) + bias,
        lamp,
        chi2,
    )


def linearity_table(fit: LinearityFit, ccdid: int, period: Period) -> pa.Table:
    """Columns `ztf_in2p3.tables.LINEARITY`.  BadData if the dated table knows nothing of the period's first night."""
    rows = []
    for qid, (response, covariance) in enumerate(zip(fit.responses, fit.covariances, strict=True), start=1):
        quadrant = Quadrant(ccdid, qid)
        known, sigma = linearity_of(quadrant.rcid, period.first), np.sqrt(np.diag(covariance))
        signal = fit.shown[:, qid - 1]
        rows.append(
            {
                "ccd": ccdid,
                "qid": qid,
                "rcid": quadrant.rcid,
                "valid_from": period.first,
                "valid_to": period.last,
                "a": response.a,
                "b": response.b,
                "a_error": sigma[0],
                "b_error": sigma[1],
                "ab_correlation": covariance[0, 1] / (sigma[0] * sigma[1]),
                "table_a": known.a,
                "table_b": known.b,
                "n_frame": len(fit.used),
                "least": float(signal.min()),
                "most": float(signal.max()),
                "chi2": fit.chi2,
                "shown": signal,
                "left": response.linearise(signal) / fit.light[:, qid - 1] - 1,
                "lamp": fit.lamp,
            }
        )
    return pa.Table.from_pylist(rows, schema=schema_of(LINEARITY))


def _chosen(flats: Sequence[FlatLevel], camera: Camera, recipe: LinearityRecipe) -> tuple[tuple[int, ...], NDArray]:
    """Which flats tell something of the response, and the group of each: one lamp at one power."""
    by_lamp = sorted(
        (i for i, flat in enumerate(flats) if (flat.shown < _NEAR_SATURATION * camera.saturation).all()),
        key=lambda i: (flats[i].led, flats[i].power),
    )
    groups: list[list[int]] = []
    for i in by_lamp:
        last = flats[groups[-1][-1]] if groups else None
        same = last and last.led == flats[i].led and flats[i].power <= _SAME_POWER * last.power
        groups[-1].append(i) if same else groups.append([i])
    spans = [max(flats[i].exptime for i in members) / min(flats[i].exptime for i in members) for members in groups]
    telling = [members for members, span in zip(groups, spans, strict=True) if span >= recipe.least_range]
    if not telling:
        widest = f"{max(spans):.1f}" if spans else "none"
        raise BadData(
            f"{len(flats)} flats of {len(groups)} lamps and powers, of which none has exposure times over a range of "
            f"{recipe.least_range:g} (widest: {widest}); take flats of one lamp with several exposure times"
        )
    used = tuple(i for members in telling for i in members)
    return used, np.repeat(np.arange(len(telling)), [len(members) for members in telling])


def _bands(n_row: int) -> list[slice]:
    step = max(n_row // _BANDS, 1)
    return [slice(start, min(start + _BAND, n_row)) for start in range(0, n_row, max(step, _BAND))]
