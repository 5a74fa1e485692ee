"""Pixels that radiation hit: sharper than any star can be."""

from __future__ import annotations

import astroscrappy
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, label, maximum_position

from ztf_in2p3.image import Image, MaskBit, is_bad

SIGMA, CONTRAST = 6.0, 10.0
"""Laplacian of a hit over the noise, and over the fine structure that a star would have there, at least."""
DARK_NEIGHBOUR = 0.05
"""Share of a hit's brightest pixel, over the sky, that at least one of its eight neighbours falls short of.  Those of a
star are brighter: 0.08 in the worst place of a Moffat profile of 1.6 pixels' width (beta 3)."""
_SKY = 7
"""Half the side of the square whose median is the sky at a hit."""
_AROUND_FULL = 10
"""Pixels around a saturated one that are left alone: the edge of a flat top is as sharp as a hit."""
_EDGE = 8
"""Pixels at the image's edges that are left alone: there a star that is cut off would be taken for a hit."""


def mark_radiation_hits(image: Image) -> int:
    """Set `MaskBit.RADIATION_HIT` in the image's mask where radiation left charge; returns in how many pixels.

    L.A.Cosmic (van Dokkum 2001, PASP 113, 1420; McCully et al., astroscrappy), one round: later
    ones find next to nothing, as nothing is cleaned.  Pixels known to be bad are left out, and so
    are hits in the core of a star, which cannot be told from it.
    """
    bad = is_bad(image.mask)
    full = (image.mask & np.uint16(MaskBit.SATURATED)) != 0
    data, variance = image.data, image.variance
    unknown = ~(np.isfinite(data) & np.isfinite(variance))
    if unknown.all():
        return 0
    if unknown.any():
        data = np.where(unknown, np.median(data[~unknown]), data)
        variance = np.where(unknown, np.median(variance[~unknown]), variance)
    judged = np.zeros_like(bad)
    judged[_EDGE:-_EDGE, _EDGE:-_EDGE] = True
    judged &= ~(bad | unknown | binary_dilation(full, np.ones((3, 3), bool), _AROUND_FULL))
    hits: NDArray[np.bool_] = astroscrappy.detect_cosmics(
        data,
        inmask=bad | unknown,
        invar=variance,
        sigclip=SIGMA,
        objlim=CONTRAST,
        gain=1.0,
        readnoise=0.0,
        satlevel=np.inf,
        niter=1,
    )[0]
    hits &= judged
    hits &= ~_of_stars(hits, data)
    image.mask[hits] |= np.uint16(MaskBit.RADIATION_HIT)
    return int(np.count_nonzero(hits))


def _of_stars(hits: NDArray[np.bool_], data: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Hits, of connected ones, whose brightest pixel has only bright neighbours: cores of bright stars."""
    groups, n = label(hits, np.ones((3, 3)))
    wrong = np.zeros(n + 1, bool)
    for number, (row, column) in enumerate(maximum_position(data, groups, np.arange(1, n + 1)), start=1):
        around = data[max(row - _SKY, 0) : row + _SKY + 1, max(column - _SKY, 0) : column + _SKY + 1]
        square = data[row - 1 : row + 2, column - 1 : column + 2]
        # The brightest pixel may not be marked: of a star's core, only half of it may be.
        step_row, step_column = np.unravel_index(np.argmax(square), square.shape)
        row, column = row + step_row - 1, column + step_column - 1
        sky = np.median(around)
        darkest = data[row - 1 : row + 2, column - 1 : column + 2].min()
        wrong[number] = darkest - sky > DARK_NEIGHBOUR * (data[row, column] - sky)
    return wrong[groups]
