"""Raw files: what the camera's computer writes of one CCD.

Nine HDUs: a primary with keywords only, quadrants 1 to 4, their overscans 1 to 4; float32, RICE
compressed in tiles of one row.  (Layout: ZTF's specification and its public readers.)

Compression quantises floats.  The numbers of a converter are whole, so the step is 1 ADU without
dither: nothing is lost, and the bits spent are those of the noise.  Without `digitisation`, numbers
are fractions and the step is 1/16 of the scatter of a row, which adds 0.03 % to the noise of a bias frame and
0.3 % to that of a flat.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from lib.identifiers import N_QUADRANT, CcdExposure, Quadrant
from lib.simulate.chain import amplifier, collected_charge, expected_charge, read_out
from lib.simulate.exposures import NightPlan
from lib.simulate.headers import amplifier_cards, exposure_cards

WHOLE_ADU = -1.0
"""Quantisation of whole numbers: negative is the step itself (astropy's and CFITSIO's convention)."""
FRACTIONS = 16.0
"""Quantisation of fractions: steps per standard deviation."""
_NO_DITHER, _DITHER = -1, 1

Readout = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Image and overscan of a quadrant, as stored, ADU."""


def read_out_ccd(plan: NightPlan, ccd: CcdExposure) -> dict[int, Readout]:
    """What the four amplifiers of a CCD read, by qid."""
    frame = plan.frame(ccd.exposure)
    readouts = {}
    for qid in range(1, N_QUADRANT + 1):
        quadrant = Quadrant(ccd.ccdid, qid)
        charge = collected_charge(plan, frame, quadrant, expected_charge(plan, frame, quadrant))
        readouts[qid] = read_out(plan, frame, quadrant, charge)
    return readouts


def write_raw(path: Path, plan: NightPlan, ccd: CcdExposure, readouts: dict[int, Readout]) -> None:
    """Write the raw file of a CCD from what its amplifiers read."""
    hdus = [fits.PrimaryHDU(header=exposure_cards(plan, ccd))]
    for part in (0, 1):
        for qid, readout in readouts.items():
            quadrant = Quadrant(ccd.ccdid, qid)
            stage = amplifier(plan, quadrant)
            header = amplifier_cards(quadrant, stage.gain, stage.read_noise)
            hdus.append(_compressed(readout[part], header, f"{qid + N_QUADRANT * part}", plan))
    fits.HDUList(hdus).writeto(path)


def _compressed(pixels: NDArray[np.float32], header: fits.Header, name: str, plan: NightPlan) -> fits.CompImageHDU:
    whole = plan.effects.digitisation
    return fits.CompImageHDU(
        pixels, header, name=name, compression_type="RICE_1", tile_shape=(1, pixels.shape[1]),
        quantize_level=WHOLE_ADU if whole else FRACTIONS, quantize_method=_NO_DITHER if whole else _DITHER,
        dither_seed=1,
    )  # fmt: skip
