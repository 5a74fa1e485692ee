"""Detrended quadrants beside their truth, pixel by pixel."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.truth.reduction import QIDS, Reduced, expected_variance, offset_variance
from ztf_in2p3.identifiers import CcdExposure, Quadrant
from ztf_in2p3.image import Image
from ztf_in2p3.simulate import chain

FULL = 0.98
"""Of the full well: above it a pixel may or may not have overflowed, and its noise is not Poisson's."""


@dataclass(frozen=True, eq=False)
class Compared:
    """A quadrant beside its truth; pixels that are neither dead nor nearly full."""

    image: Image
    stage: chain.Amplifier
    used: NDArray[np.bool_]
    error: NDArray[np.float64]
    """(pixel,), ADU: detrended - truth."""
    variance: NDArray[np.float64]
    """(pixel,), ADU^2: expected of it."""
    mean_error: float
    """ADU: standard deviation of the mean of the error."""

    @property
    def pull(self) -> NDArray[np.float64]:
        return self.error / np.sqrt(self.variance)


def compare(night: Reduced, qids: Collection[int] = QIDS) -> Iterator[tuple[CcdExposure, int, Compared]]:
    """Quadrants of every exposure."""
    for ccd, images in night.images.items():
        for qid in qids:
            image, _ = images[qid]
            quadrant, true = Quadrant(ccd.ccdid, qid), night.truth.detrended(ccd, qid)
            charge = chain.expected_charge(night.plan, night.plan.frame(ccd.exposure), quadrant)
            used = np.isfinite(true) & (charge < FULL * chain.full_well(night.plan))
            stage = chain.amplifier(night.plan, quadrant)
            variance = expected_variance(night, ccd, qid, stage.read_noise, stage.gain)[used].astype(float)
            error = (image.data - true)[used].astype(float)
            # Pixels, and the mean error of the offset of the exposure and of its bias frames.
            of_offset = offset_variance(stage.read_noise / stage.gain, night.plan.camera.shape[0])
            of_offset *= 1 + 1 / len(night.plan.biases)
            mean_error = float(np.sqrt(variance.mean() / error.size + of_offset))
            yield ccd, qid, Compared(image, stage, used, error, variance, mean_error)
