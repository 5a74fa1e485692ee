"""What the detector does to the light, effect by effect, each a pure function.

Their order in time is in `ztf_in2p3.simulate.chain`; where the truth of each is told, `ztf_in2p3.simulate.truth`.
Nothing here is shared with the code that undoes it, except the published constants of the linearity.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ztf_in2p3.identifiers import Quadrant

LINEARITY_TABLE = Path(__file__).parents[1] / "sensor" / "linearity.csv"

DRIFT_ADU = 3.0
"""Size of the overscan's drift along the rows."""
DEFERRED_FLOOR_ADU, DEFERRED_CEILING_ADU = 20.0, 250.0
"""Deferred charge in the first overscan column, behind a dark row and behind one at saturation."""
DEFERRED_HALF_ADU = 10_000.0
"""Signal of the last pixel of the row that makes half of the difference."""
DEFERRED_COLUMNS = 2.5
"""Columns in which it falls by e: from 250 ADU to 0.01 at column 25."""
DEAD_FRACTION, HOT_FRACTION = 2e-4, 1e-4
HOT_RATE_E = (20.0, 200.0)
"""Range of what hot pixels make, electrons per second."""
WARM_FRACTION = 2e-4
WARM_RATE_E = (4.0, 15.0)
"""Range of what pixels make that are hot in long exposures only: less than a tenth of a sky's noise in a bias frame."""
IDLE_S = 1.0
"""Time between clearing and readout, besides the exposure: so long hot pixels collect charge in every frame."""
NOISY_FRACTION = 2e-4
NOISY_FACTORS = (3.0, 20.0)
"""Range of the noise of noisy pixels, relative to that of their amplifier."""
DARK_RATE_E = 1.0
"""Electrons per second and pixel (DARKCUR of the headers)."""
ADC_MAX = 65535


@dataclass(frozen=True, slots=True)
class Effects:
    """Which effects are on.  Switching one off leaves the random draws of the others as they were."""

    bias_pattern: bool = True
    """Structure of the bias over the amplifier's offset."""
    overscan_drift: bool = True
    """The offset wanders during readout."""
    deferred_charge: bool = True
    """Charge left behind in the serial register, seen in the first overscan columns; not where a pocket is,
    which makes its own."""
    pocket: str = "powerlaw"
    """Pocket of the serial register, in nights after 2019-10-22: "powerlaw", "equilibrium" or ""."""
    read_noise: bool = True
    gain_spread: bool = True
    """Amplifiers differ in gain and noise."""
    pixel_response: bool = True
    """Quantum efficiency differs between pixels, smoothly over a quadrant, and between CCDs."""
    vignetting: bool = True
    led_gradients: bool = True
    """Flats are lit otherwise than the sky lights the focal plane, and each LED in its own way."""
    fringes: bool = True
    """Interference of the sky's lines in zi."""
    dark_current: bool = False
    nonlinearity: bool = True
    saturation: bool = True
    dead_pixels: bool = True
    hot_pixels: bool = True
    warm_pixels: bool = False
    """Some pixels make so little charge that only long exposures show it."""
    noisy_pixels: bool = False
    """Some pixels are read with more noise than others."""
    cosmic_rays: bool = False
    """Radiation leaves points, tracks and worms of charge (`ztf_in2p3.simulate.hits`)."""
    photon_noise: bool = True
    digitisation: bool = True
    """Whole ADU, 0 to 65535."""

    @classmethod
    def none(cls, **but: Any) -> Self:
        """A perfect detector, but for the effects named."""
        return cls(**{field.name: type(getattr(USUAL, field.name))() for field in fields(cls)} | but)


USUAL = Effects()
"""Effects that every night has."""


# --- the light on its way to the pixels


def vignetting(u: ArrayLike, v: ArrayLike, radius: float) -> NDArray:
    """Share of the light of the sky that arrives, 1 on the axis; u, v and the radius of the field in pixels.

    Any shape.
    """
    rho2 = (np.asarray(u) ** 2 + np.asarray(v) ** 2) / radius**2
    return 1 - 0.12 * rho2 - 0.05 * rho2**2


def led_gradient(u: ArrayLike, v: ArrayLike, radius: float, draw: np.random.Generator) -> NDArray:
    """Light of a flat-field LED over that of an even sky: a few percent off over the field, 1 on the axis.

    Any shape.
    """
    x, y = np.asarray(u) / radius, np.asarray(v) / radius
    gx, gy, gxx, gxy, gyy = draw.normal(0, (0.03, 0.03, 0.02, 0.02, 0.02))
    return 1 + gx * x + gy * y + gxx * x**2 + gxy * x * y + gyy * y**2


def pixel_response(shape: tuple[int, int], draw: np.random.Generator) -> NDArray[np.float32]:
    """Quantum efficiency of pixels: 1 % from pixel to pixel, 1 % smoothly over the quadrant; (row, column), mean 1."""
    rows, columns = (np.linspace(-1, 1, n) for n in shape)
    a, b, c = draw.normal(0, 0.01, 3)
    smooth = a * rows[:, None] + b * columns + c * rows[:, None] * columns
    return (1 + smooth + 0.01 * draw.standard_normal(shape, np.float32)).astype(np.float32)


def dead_pixels(shape: tuple[int, int], draw: np.random.Generator) -> NDArray[np.bool_]:
    """Pixels that see nothing; (row, column)."""
    return _some_pixels(shape, DEAD_FRACTION, draw)


def hot_pixels(shape: tuple[int, int], draw: np.random.Generator) -> NDArray[np.float32]:
    """Electrons per second that a few pixels make of themselves, 0 elsewhere; (row, column)."""
    hot = _some_pixels(shape, HOT_FRACTION, draw)
    rate = np.zeros(shape, np.float32)
    rate[hot] = draw.uniform(*HOT_RATE_E, hot.sum())
    return rate


def warm_pixels(shape: tuple[int, int], draw: np.random.Generator) -> NDArray[np.float32]:
    """Electrons per second that pixels make which are hot in long exposures only, 0 elsewhere; (row, column)."""
    warm = _some_pixels(shape, WARM_FRACTION, draw)
    rate = np.zeros(shape, np.float32)
    rate[warm] = draw.uniform(*WARM_RATE_E, warm.sum())
    return rate


def noisy_pixels(shape: tuple[int, int], draw: np.random.Generator) -> NDArray[np.float32]:
    """Noise of pixels over that of their amplifier, 1 for most; (row, column)."""
    noisy = _some_pixels(shape, NOISY_FRACTION, draw)
    factor = np.ones(shape, np.float32)
    factor[noisy] = draw.uniform(*NOISY_FACTORS, noisy.sum())
    return factor


def _some_pixels(shape: tuple[int, int], fraction: float, draw: np.random.Generator) -> NDArray[np.bool_]:
    n = shape[0] * shape[1]
    chosen = np.zeros(n, bool)
    chosen[draw.integers(0, n, round(fraction * n))] = True
    return chosen.reshape(shape)


def photon_noise(expected: NDArray, draw: np.random.Generator) -> NDArray[np.float32]:
    """Electrons counted where so many are expected (Poisson).  Any shape."""
    return draw.poisson(np.maximum(expected, 0)).astype(np.float32)


def saturate(charge: NDArray, full_well: float) -> NDArray:
    """A pixel holds so many electrons and no more; the rest is lost, without blooming.  Any shape."""
    return np.minimum(charge, np.float32(full_well))


# --- the charge on its way to the numbers; axes in readout order, the amplifier at [0, 0]


def bias_pattern(shape: tuple[int, int], draw: np.random.Generator) -> NDArray[np.float32]:
    """What a row reads over the offset without any light: (row, column), ADU, between 30 and 130.

    A level of the amplifier, a glow that fades away from it, a wave along the rows, and a
    level of each column.
    """
    rows, columns = shape
    level, glow, wave = draw.uniform(55, 90), draw.uniform(5, 20), draw.uniform(2, 8)
    row, column = np.arange(rows)[:, None] / rows, np.arange(columns) / columns
    smooth = level + glow * np.exp(-4 * (row + column)) + wave * np.sin(2 * np.pi * (column + row / 3))
    return (smooth + np.clip(draw.normal(0, 1.5, columns), -5, 5)).astype(np.float32)


def overscan_drift(rows: int, draw: np.random.Generator) -> NDArray[np.float64]:
    """Wandering of the offset during readout: a cubic in the row number, `DRIFT_ADU` in size; (row,), ADU."""
    direction = draw.normal(size=3)
    coefficients = DRIFT_ADU * direction / np.sqrt((direction**2).sum())
    return np.polynomial.legendre.legval(np.linspace(-1, 1, rows), [draw.normal(), *coefficients])


def deferred_charge(last_pixel: NDArray, columns: int) -> NDArray[np.float64]:
    """Charge released in the overscan behind each row: (row, column), ADU, from the row's last pixel (row,), ADU.

    The first column has 20 ADU behind a dark row and up to 250 behind a bright one; it is not
    taken from the image, whose own losses are another effect.
    """
    signal = np.maximum(last_pixel, 0.0)
    rise = (DEFERRED_CEILING_ADU - DEFERRED_FLOOR_ADU) * signal / (signal + DEFERRED_HALF_ADU)
    return (DEFERRED_FLOOR_ADU + rise)[:, None] * np.exp(-np.arange(columns) / DEFERRED_COLUMNS)


def measured(true: NDArray, a: float, b: float) -> NDArray:
    """What the output stage makes of a signal, ADU: the root x of true = x / (a x^2 + b x + 1) that is 0 with it.

    Any shape.
    """
    linear = 1 - b * true
    return 2 * true / (linear + np.sqrt(linear**2 - 4 * a * true**2))


def digitise(adu: NDArray) -> NDArray[np.float32]:
    """Whole numbers that the converter can tell.  Any shape."""
    return np.clip(np.rint(adu), 0, ADC_MAX).astype(np.float32)


def linearity_constants(quadrant: Quadrant, night: date) -> tuple[float, float]:
    """a and b of `measured` for a quadrant on a night."""
    known = [(since, a, b) for rcid, since, a, b in _linearity_table() if rcid == quadrant.rcid and since <= night]
    if not known:
        raise ValueError(f"no linearity of {quadrant} is known as early as {night}: {LINEARITY_TABLE} begins later")
    _, a, b = max(known)
    return a, b


@lru_cache
def _linearity_table() -> tuple[tuple[int, date, float, float], ...]:
    lines = [line.split(",") for line in LINEARITY_TABLE.read_text().splitlines() if line and line[0].isdigit()]
    return tuple((int(rcid), date.fromisoformat(since), float(a), float(b)) for _, _, rcid, since, a, b in lines)
