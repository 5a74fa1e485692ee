"""Fields of stars with radiation hits, of which the truth is known, and how many of the hits are marked."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, label, maximum

from ztf_in2p3.detrend.radiation_hits import mark_radiation_hits
from ztf_in2p3.image import Image, MaskBit
from ztf_in2p3.simulate import hits, psf

GAIN, READ_E, SKY_ADU, FULL_ADU = 6.0, 9.0, 160.0, 58_000.0
RADIATION = np.uint16(MaskBit.RADIATION_HIT)
AROUND = np.ones((3, 3), bool)

Marks = NDArray[np.bool_]


@dataclass(frozen=True)
class Field:
    """An image and what is in it."""

    image: Image
    charge: NDArray[np.float64]
    """ADU left by hits."""
    light: NDArray[np.float64]
    """ADU of stars, without noise."""

    @property
    def noise(self) -> NDArray[np.float64]:
        """Standard deviation of the pixels without hits, ADU."""
        return np.sqrt((self.light + SKY_ADU) / GAIN + (READ_E / GAIN) ** 2)


@dataclass(frozen=True)
class Hits:
    """Hits whose light is not hidden in that of stars; (hit,)."""

    peak: NDArray[np.float64]
    """Brightest pixel over the noise."""
    marked: Marks


def draw_field(
    width: float, seed: int, *, shape: tuple[int, int], star_density: float = 1.7e-3, seconds: float = 1800.0
) -> Field:
    """Stars from the noise to saturation (a power law, so many a pixel), hits, noise of photons and amplifier."""
    draw = np.random.default_rng(seed)
    n_star = round(star_density * shape[0] * shape[1])
    x, y = draw.uniform(-20, shape[1] + 20, n_star), draw.uniform(-20, shape[0] + 20, n_star)
    flux = 100 * (1 - draw.random(n_star)) ** (-1 / 0.7)
    light = psf.draw_stars(shape, x, y, flux, width).astype(float)
    charge = hits.radiation_charge(shape, seconds, draw) / GAIN
    adu = np.minimum(draw.poisson((light + SKY_ADU) * GAIN) / GAIN + charge, FULL_ADU)
    mask = np.where(adu >= FULL_ADU, np.uint16(MaskBit.SATURATED), np.uint16(0))
    adu += draw.normal(0, READ_E / GAIN, shape)
    variance = np.clip(adu, 0, None) / GAIN + (READ_E / GAIN) ** 2
    return Field(Image(adu.astype(np.float32), variance.astype(np.float32), mask), charge, light)


def marked_pixels(image: Image) -> Marks:
    """Pixels that the pipeline marks; the image keeps its mask."""
    marked = Image(image.data, image.variance, image.mask & ~RADIATION)
    mark_radiation_hits(marked)
    return (marked.mask & RADIATION) != 0


def hits_of(field: Field, marks: Marks) -> Hits:
    """Hits where stars have less light than half a standard deviation of the noise."""
    groups, n = label(field.charge > 1.0, AROUND)
    index = np.arange(1, n + 1)
    peak = maximum(field.charge / field.noise, groups, index)
    clear = np.asarray(maximum(field.light / field.noise, groups, index)) < 0.5
    clear &= np.asarray(maximum(field.image.mask, groups, index)) == 0
    return Hits(np.asarray(peak)[clear], np.asarray(maximum(marks, groups, index))[clear] > 0)


def marked_share(field: Field, marks: Marks) -> float:
    """Share that is marked of the pixels of recognised hits whose charge is five times the noise."""
    groups, n = label(field.charge > 1.0, AROUND)
    recognised = np.concatenate([[False], np.asarray(maximum(marks, groups, np.arange(1, n + 1))) > 0])
    return float(marks[recognised[groups] & (field.charge > 5 * field.noise)].mean())


def false_groups(field: Field, marks: Marks) -> int:
    """Groups of marked pixels that are further than two pixels from any hit."""
    groups, _ = label(marks, AROUND)
    near = binary_dilation(field.charge > 0.3, AROUND, 2)
    return len(np.setdiff1d(np.unique(groups[marks]), np.unique(groups[marks & near])))
