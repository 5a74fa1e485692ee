"""Fault x product: what comes of masters and images when frames are spoilt."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.lib.detrend.conftest import RECIPE
from tests.lib.detrend.raw_files import QIDS, Detector
from ztf_in2p3.camera import TINY
from ztf_in2p3.detrend.compare import compare
from ztf_in2p3.detrend.masters import led_flat, master_bias
from ztf_in2p3.detrend.quadrant import detrend_ccd
from ztf_in2p3.errors import BadData
from ztf_in2p3.simulate.frame_faults import BIAS_FAULTS, FLAT_FAULTS, SCIENCE_FAULTS, FrameFault, spoilt_copies

RIGHT, REFUSED, SILENT = "right", "refused", "SILENT"
LARGEST_PULL = 1.1
"""Rms of (master - truth) / error: 1 % of its pixels' scatter and 0.1 of an offset common to all still make 1.01."""


@dataclass(frozen=True)
class Cell:
    """What came of one fault in one product."""

    product: str
    fault: str
    expected: str
    outcome: str
    """"right" (and the bad frames named), "refused" (the quadrants with a reason) or "SILENT"."""
    pull: float
    """Rms over the worst quadrant that serves; NaN if none does."""
    reason: str


@dataclass(frozen=True)
class Series:
    """Sound frames of one detector."""

    detector: Detector
    biases: list[Path]
    flats: list[Path]
    """Of LED 2."""


def series(folder: Path, seed: int = 20190405, n_bias: int = 10, n_flat: int = 4) -> Series:
    detector = Detector(seed=seed)
    return Series(detector, detector.biases(folder, n_bias), detector.flats(folder, 2, n_flat))


def judged(made, truth, product: str, name: str, fault: FrameFault) -> Cell:
    """How a master turned out.  A quadrant serves if neither its frames nor the verdict on it say otherwise."""
    unfit = compare(made).unfit
    serving = [qid for qid in QIDS if qid not in unfit]
    pulls = [np.sqrt(np.nanmean((made.data[q] - truth[q]) ** 2 / made.variance[q])) for q in serving]
    reasons = {**{f"q{qid}": why for qid, why in unfit.items()}, **made.left_out}
    reason = "; ".join(str(why) for why in reasons.values())
    worst = float(max(pulls, default=np.nan))
    if pulls and worst > LARGEST_PULL:
        outcome = SILENT
    elif set(fault.qids) & set(unfit):
        outcome = REFUSED
    else:
        outcome = RIGHT if reason else SILENT
    return Cell(product, name, fault.truth, outcome, worst, reason)


def bias_cell(sound: Series, folder: Path, name: str) -> Cell:
    fault = BIAS_FAULTS[name]
    try:
        made = master_bias(spoilt_copies(sound.biases, folder, fault), TINY, 3, RECIPE.bias)
    except BadData as error:
        return Cell("bias", name, fault.truth, REFUSED, np.nan, str(error))
    return judged(made, sound.detector.bias, "bias", name, fault)


def flat_cell(sound: Series, folder: Path, name: str, bias) -> Cell:
    fault = FLAT_FAULTS[name]
    try:
        made = led_flat(spoilt_copies(sound.flats, folder, fault), bias, TINY, 3, RECIPE.flat.led)
    except BadData as error:
        return Cell("LED flat", name, fault.truth, REFUSED, np.nan, str(error))
    return judged(made, sound.detector.leds[2], "LED flat", name, fault)


def science_cell(path: Path, truth: float, folder: Path, name: str, bias, flat, headers) -> Cell:
    """An exposure of an even sky, of `truth` ADU."""
    fault, failed = SCIENCE_FAULTS[name], {}
    (spoilt,) = spoilt_copies([path], folder, fault)
    images = detrend_ccd(spoilt, bias, flat, flat.value("FLTNORM"), headers, {}, TINY, RECIPE, failed=failed)
    pulls = [np.sqrt(np.nanmean((image.data - truth) ** 2 / image.variance)) for image, _ in images.values()]
    outcome = REFUSED if set(failed) == set(fault.qids) and max(pulls) < LARGEST_PULL else SILENT
    return Cell("image", name, fault.truth, outcome, float(max(pulls)), "; ".join(failed.values()))
