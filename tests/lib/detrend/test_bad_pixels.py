"""Pixels made bad are found bad, for what they are, and hardly any other."""

import numpy as np
import pytest

from lib.detrend.bad_pixels import bad_pixels
from lib.image import MaskBit

SHAPE, N_FRAME = (150, 140), 20


@pytest.fixture
def planes():
    """Bias with a pattern of columns and a glow; vignetted flat; scatter of 20 frames of 1.5 ADU."""
    rng = np.random.default_rng(1)
    row, column = np.mgrid[: SHAPE[0], : SHAPE[1]]
    bias = 60 + 20 * np.exp(-row / 50) + 5 * np.sin(column / 20) + rng.normal(0, 0.5, SHAPE)
    flat = 1 - 0.2 * ((row - 75) / 75) ** 2 + rng.normal(0, 0.01, SHAPE)
    scatter = 1.5**2 * rng.chisquare(N_FRAME - 1, SHAPE) / (N_FRAME - 1)
    return [plane.astype(np.float32) for plane in (bias, flat, scatter)]


@pytest.mark.parametrize(
    ("plane", "factor", "bit"),
    [
        (0, 2.0, MaskBit.NOISY),
        (1, 0.0, MaskBit.DEAD),
        (1, 0.4, MaskBit.LOW_RESPONSE),
        (1, 1.8, MaskBit.HIGH_RESPONSE),
        (2, 20.0, MaskBit.NOISY),
        (0, np.nan, MaskBit.NAN),
    ],
)
def test_each_kind_is_found(planes, plane, factor, bit):
    at = ([3, 70, 149], [0, 66, 139])
    planes[plane][at] *= factor
    mask = bad_pixels(*planes)
    assert (mask[at] == bit).all()


def test_good_pixels_are_left_in_peace(planes):
    # Eight sigma of a Gaussian; six robust sigma of the logarithm of a chi-square, whose upper tail is the lighter one.
    assert np.count_nonzero(bad_pixels(*planes)) <= 1
    assert np.count_nonzero(bad_pixels(*planes[:2])) == 0


def test_planes_of_one_quadrant_have_one_shape(planes):
    with pytest.raises(ValueError, match="differ in shape"):
        bad_pixels(planes[0], planes[1][:-1])
