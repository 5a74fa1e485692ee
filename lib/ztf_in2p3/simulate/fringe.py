"""Fringes: the sky's narrow lines interfere with themselves between the two faces of a thinned sensor.

The sky in zi is mostly lines of OH, so its light makes the pattern of a thin film: dark and bright
contours of the sensor's thickness, a few percent of the sky from peak to peak.  Each group of lines
has a wavelength of its own and with it a pattern of its own; how strong it is follows the
airglow, from exposure to exposure.  Stars and lamps, whose light is of all wavelengths, make none.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.simulate.seeds import generator

WAVELENGTHS_NM = (834.0, 882.0, 791.0)
"""Wavelengths of the groups of lines: bands 6-2, 7-3 and 5-1 of OH (Meinel 1950, ApJ 111, 555), about."""
AMPLITUDES = (0.014, 0.005, 0.003)
"""Mean amplitudes of the groups' patterns, as fractions of the sky: together 4 % from peak to peak."""
SCATTER = 0.3
"""Scatter of the logarithm of an amplitude from exposure to exposure, in common and of each group again."""
ORDER = 180.0
"""Interference order at the mean thickness: 2 n d / wavelength, with n = 3.6 and 21 micrometres in effect."""
_WAVES, _LONGEST, _SHORTEST = 6, 900.0, 250.0
"""Undulations of the thickness, and the range of their lengths, pixels."""
_CONTOURS = 0.9
"""Contours that an undulation makes from its middle to its top."""


def amplitudes(seed: int, filefracday: int) -> tuple[float, ...]:
    """Amplitudes of the groups of lines in one exposure, as fractions of its sky."""
    draw = generator(seed, "fringe amplitudes", filefracday)
    scatter = SCATTER * (draw.normal() + draw.normal(size=len(AMPLITUDES)))
    return tuple(float(f"{amplitude * np.exp(more):.5f}") for amplitude, more in zip(AMPLITUDES, scatter, strict=True))


@lru_cache(maxsize=2)
def patterns(seed: int, rcid: int, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Patterns of each group of lines on a quadrant: (group, row, column), between -1 and 1.  Do not write into it."""
    thickness = _thickness(shape, generator(seed, "thickness", rcid))
    waves = np.empty((len(WAVELENGTHS_NM), *shape), np.float32)
    for pattern, wavelength in zip(waves, WAVELENGTHS_NM, strict=True):
        order = (ORDER + thickness) * (WAVELENGTHS_NM[0] / wavelength)
        np.cos(2 * np.pi * np.mod(order, 1.0), out=pattern, casting="same_kind")
    waves.flags.writeable = False
    return waves


def fringe_light(seed: int, rcid: int, shape: tuple[int, int], strengths: tuple[float, ...]) -> NDArray[np.float32]:
    """Light of the fringes over that of the even sky: (row, column)."""
    return np.tensordot(np.asarray(strengths, np.float32), patterns(seed, rcid, shape), 1)


def _thickness(shape: tuple[int, int], draw: np.random.Generator) -> NDArray[np.float64]:
    """Thickness over the mean, in contours of the first group's wavelength: a tilt and undulations; (row, column)."""
    row, column = np.arange(shape[0])[:, None], np.arange(shape[1])
    angle = draw.uniform(0, 2 * np.pi)
    thickness = (np.sin(angle) * row + np.cos(angle) * column) / 160.0
    for length in np.geomspace(_LONGEST, _SHORTEST, _WAVES):
        direction, phase = draw.uniform(0, 2 * np.pi, 2)
        along = (np.sin(direction) * row + np.cos(direction) * column) / length
        thickness = thickness + _CONTOURS * (length / _LONGEST) ** 0.5 * np.sin(2 * np.pi * along + phase)
    return thickness
