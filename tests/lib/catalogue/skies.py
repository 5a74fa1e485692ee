"""Small images of known truth: stars of a Moffat profile, integrated over the pixels."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from astropy.io import fits

from ztf_in2p3.image import Image
from ztf_in2p3.tables import REFERENCE

FWHM, BETA = 2.2, 3.0
GAIN, READ_NOISE, SKY = 6.0, 9.0, 150.0
"""e-/ADU, e-, ADU."""

DISTORTION = {
    "PV1_0": -4.918160589556e-05, "PV1_1": 1.000036677143, "PV1_2": 9.414366939841e-05, "PV1_4": 2.468747878423e-04,
    "PV1_5": 1.182803710539e-04, "PV1_6": 1.574760892938e-04, "PV1_7": -2.698341462040e-04,
    "PV1_8": -2.751596394360e-05, "PV1_9": -2.120740162179e-04, "PV1_10": 5.327060610469e-05,
    "PV2_0": -4.496491941919e-05, "PV2_1": 0.9999973619179, "PV2_2": 3.137152858532e-05, "PV2_4": 3.836347992086e-04,
    "PV2_5": 1.760204670234e-04, "PV2_6": 1.466134464032e-04, "PV2_7": -1.578966474684e-04,
    "PV2_8": 1.958075027578e-05, "PV2_9": -2.388863964860e-04, "PV2_10": -1.953664098563e-05,
}  # fmt: skip
"""Of a real quadrant (ztf_20200924431759_000655_zr_c13_o_q3)."""


def header(shape: tuple[int, int], ra: float = 57.99740327, dec: float = 35.74628707, **cards: object) -> fits.Header:
    """A science header of the archive: TPV solution, date, seeing."""
    made = fits.Header()
    made["CTYPE1"], made["CTYPE2"] = "RA---TPV", "DEC--TPV"
    made["CRPIX1"], made["CRPIX2"] = (shape[1] + 1) / 2, (shape[0] + 1) / 2
    made["CRVAL1"], made["CRVAL2"] = ra, dec
    made["CUNIT1"] = made["CUNIT2"] = "deg"
    made["CD1_1"], made["CD1_2"] = -2.811703032876e-04, -7.697098117566e-06
    made["CD2_1"], made["CD2_2"] = 7.721274603541e-06, -2.811698359281e-04
    made.update(DISTORTION)
    made["RADESYS"], made["EQUINOX"] = "ICRS", 2000.0
    made["OBSMJD"], made["EXPTIME"], made["SEEING"] = 59116.4317708, 30.0, FWHM
    made["GAIN"], made["READNOI"] = GAIN, READ_NOISE
    made.update(cards)
    return made


def moffat_alpha() -> float:
    return FWHM / 2 / np.sqrt(2 ** (1 / BETA) - 1)


def moffat_growth(radius: float) -> float:
    """Fraction of a star's light within a radius."""
    return 1 - (1 + (radius / moffat_alpha()) ** 2) ** (1 - BETA)


def stamp(dx: float, dy: float, half: int, fine: int = 7) -> np.ndarray:
    """A star of flux 1 at (dx, dy) from the centre of the middle pixel: sum over fine x fine points a pixel."""
    position = (np.arange((2 * half + 1) * fine) + 0.5) / fine - half - 0.5
    square = (position[:, None] - dy) ** 2 + (position - dx) ** 2
    density = (BETA - 1) / np.pi / moffat_alpha() ** 2 * (1 + square / moffat_alpha() ** 2) ** -BETA
    return density.reshape(2 * half + 1, fine, 2 * half + 1, fine).sum(axis=(1, 3)) / fine**2


def stars_without_sky(shape, x, y, flux, half: int = 25) -> np.ndarray:
    """ADU; wings end at `half` pixels, where 6e-5 of the light is left outside."""
    padded = np.zeros((shape[0] + 4 * half, shape[1] + 4 * half))
    for x_star, y_star, f in zip(x, y, flux, strict=True):
        i, j = round(x_star), round(y_star)
        rows = slice(j + half, j + 3 * half + 1)
        columns = slice(i + half, i + 3 * half + 1)
        padded[rows, columns] += f * stamp(x_star - i, y_star - j, half)
    return np.ascontiguousarray(padded[2 * half : -2 * half, 2 * half : -2 * half])


def grid(shape, spacing: float, rng) -> tuple[np.ndarray, np.ndarray]:
    """Positions `spacing` apart, each anywhere within its pixel."""
    rows, columns = (np.arange(spacing, n - spacing / 2, spacing) for n in shape)
    x, y = (axis.ravel() for axis in np.meshgrid(columns, rows))
    return x + rng.uniform(-0.5, 0.5, x.size), y + rng.uniform(-0.5, 0.5, x.size)


def expose(truth, rng, *, response=1.0, flat_noise: float = 0.0) -> Image:
    """What the detector makes of truth (ADU, sky included): photons, read noise, then a noisy flat divided out."""
    electrons = rng.poisson(truth * response * GAIN) + rng.normal(0, READ_NOISE, truth.shape)
    raw = electrons / GAIN
    flat = response * (1 + flat_noise * rng.normal(size=truth.shape))
    data = raw / flat
    variance = (np.clip(raw, 0, None) / GAIN + (READ_NOISE / GAIN) ** 2) / flat**2 + (data * flat_noise) ** 2
    return Image(data.astype(np.float32), variance.astype(np.float32), np.zeros(truth.shape, dtype=np.uint16))


def reference(ra, dec, *, pmra=None, pmdec=None, g_mag=None, first_id: int = 1) -> pa.Table:
    """A reference catalogue; NaN where nothing is given."""
    n = len(ra)
    values = {column.name: np.full(n, np.nan) for column in REFERENCE}
    values |= {"source_id": np.arange(first_id, first_id + n), "ra": ra, "dec": dec}
    given = {"pmra": pmra, "pmdec": pmdec, "phot_g_mean_mag": g_mag}
    values |= {name: value for name, value in given.items() if value is not None}
    return pa.table({column.name: pa.array(values[column.name]).cast(column.type) for column in REFERENCE})
