"""Files of the simulated survey: where they are, and how they come to be there whole or not at all.

The layout is the archive's (IRSA, "ZTF API Queries"), written here anew so that a reader of it is tested
against the documentation and not against itself.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

from ztf_in2p3.identifiers import CcdExposure


def raw_path(ccd: CcdExposure) -> str:
    """Path of a raw file below the tree's root."""
    return f"raw/{_folder(ccd)}/{ccd}.fits.fz"


def science_path(ccd: CcdExposure, qid: int) -> str:
    """Path of a science image below the tree's root."""
    return f"sci/{_folder(ccd)}/{ccd}_q{qid}_sciimg.fits"


def mask_path(ccd: CcdExposure, qid: int) -> str:
    """Path of a mask below the tree's root."""
    return f"sci/{_folder(ccd)}/{ccd}_q{qid}_mskimg.fits"


def star_truth_path(ccd: CcdExposure) -> str:
    """Path of the table of true stars below the tree's root."""
    return f"truth/{ccd}.parquet"


def _folder(ccd: CcdExposure) -> str:
    day = ccd.exposure.filefracday
    return f"{day[:4]}/{day[4:8]}/{day[8:]}"


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `path`, then give it its name: nobody ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        write(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
