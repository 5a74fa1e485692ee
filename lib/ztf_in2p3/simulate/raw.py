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
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ztf_in2p3.errors import MissingExtra
from ztf_in2p3.identifiers import N_QUADRANT, CcdExposure, Quadrant
from ztf_in2p3.simulate.chain import amplifier, collected_charge, expected_charge, read_out
from ztf_in2p3.simulate.exposures import NightPlan
from ztf_in2p3.simulate.headers import amplifier_cards, exposure_cards

WHOLE_ADU = -1.0
"""Quantisation of whole numbers: negative is the step itself (CFITSIO's convention)."""
FRACTIONS = 16.0
"""Quantisation of fractions: steps per standard deviation."""

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


def cfitsio() -> Any:
    """The package fitsio, which nothing else needs: it is GPL, and compiles CFITSIO where it has no wheel."""
    try:
        import fitsio
    except ImportError:
        raise MissingExtra(
            "raw files are simulated with fitsio, which is not installed: pip install 'ztf-in2p3[simulate]'"
        ) from None
    return fitsio


def write_raw(path: Path, plan: NightPlan, ccd: CcdExposure, readouts: dict[int, Readout]) -> None:
    """Write the raw file of a CCD from what its amplifiers read.

    By CFITSIO, where such files mostly come from: other code than what reads them, and much faster than astropy.
    """
    fitsio = cfitsio()
    how = {"compress": "RICE", "qlevel": FRACTIONS, "qmethod": fitsio.SUBTRACTIVE_DITHER_1, "dither_seed": 1}
    if plan.effects.digitisation:
        how |= {"qlevel": WHOLE_ADU, "qmethod": None}
    with fitsio.FITS(path, "rw", clobber=True) as file:
        file.write(None, header=_records(exposure_cards(plan, ccd)))
        for part in (0, 1):
            for qid, readout in readouts.items():
                quadrant = Quadrant(ccd.ccdid, qid)
                stage = amplifier(plan, quadrant)
                cards = _records(amplifier_cards(quadrant, stage.gain, stage.read_noise * plan.effects.read_noise))
                pixels, name = readout[part], f"{qid + N_QUADRANT * part}"
                file.write(pixels, extname=name, header=cards, tile_dims=(1, pixels.shape[1]), **how)
                _write_datasum(file[-1])


def _write_datasum(hdu: Any) -> None:
    """Write DATASUM as fpack does, but for the time beside it, and so without the checksum of the header."""
    datasum = hdu.write_checksum()["datasum"]
    hdu.delete_key("CHECKSUM")
    hdu.write_key("DATASUM", str(datasum), comment="data unit checksum")


def _records(header: fits.Header) -> list[dict[str, object]]:
    return [{"name": card.keyword, "value": card.value, "comment": card.comment} for card in header.cards]
