"""Rows of the archive's tables of raw and science images, with the columns IRSA documents."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np

from ztf_in2p3.identifiers import N_QUADRANT, CcdExposure, ImageType, Quadrant
from ztf_in2p3.simulate.exposures import Frame, NightPlan, ObjectFrame, exposure_number, night_number
from ztf_in2p3.simulate.files import write_whole
from ztf_in2p3.simulate.headers import FILTER_IDS, IMAGE_TYPE_NAMES, processed_number, utc
from ztf_in2p3.simulate.science import limiting_magnitude
from ztf_in2p3.simulate.wcs import astrometry, quadrant_wcs

Row = Mapping[str, str | int | float]

PUBLIC_AFTER = timedelta(days=540)
"""Time from an exposure to its public release."""
_ITID = {ImageType.OBJECT: 1, ImageType.BIAS: 2, ImageType.DARK: 3, ImageType.FLAT: 4}


def raw_rows(plan: NightPlan) -> list[Row]:
    """One row a raw file."""
    rows: list[Row] = []
    for ccd in plan.ccd_exposures:
        frame = plan.frame(ccd.exposure)
        row = _common(plan, ccd, frame)
        if isinstance(frame, ObjectFrame):
            row |= {"telra": frame.ra, "teldec": frame.dec}
        else:
            row |= {"telra": "", "teldec": "", "airmass": "", "seeing": ""}
        rows.append(row | {"ccdrot": 0.0, "meta_id": exposure_number(frame.mjd) * 100 + ccd.ccdid})
    return rows


def science_rows(plan: NightPlan) -> list[Row]:
    """One row a science image."""
    rows: list[Row] = []
    height, width = plan.camera.shape
    corners_x, corners_y = np.array([0, 0, 1, 1]) * width - 0.5, np.array([0, 1, 1, 0]) * height - 0.5
    for frame in plan.objects:
        for ccdid in plan.ccdids:
            ccd = CcdExposure(frame.exposure, ccdid)
            for qid in range(1, N_QUADRANT + 1):
                quadrant = Quadrant(ccdid, qid)
                header, wcs = astrometry(plan, frame, quadrant), quadrant_wcs(plan, frame, quadrant)
                ra, dec = wcs.all_pix2world([(width - 1) / 2, *corners_x], [(height - 1) / 2, *corners_y], 0)
                row = _common(plan, ccd, frame) | {
                    "ra": round(ra[0], 7),
                    "dec": round(dec[0], 7),
                    "qid": qid,
                    "rcid": quadrant.rcid,
                    "pid": processed_number(frame, quadrant),
                    "maglimit": round(limiting_magnitude(plan, frame), 4),
                    "meta_id": processed_number(frame, quadrant),
                }
                for corner in range(1, 5):
                    row |= {f"ra{corner}": round(ra[corner], 7), f"dec{corner}": round(dec[corner], 7)}
                for i in (1, 2):
                    row |= {f"crpix{i}": header[f"CRPIX{i}"], f"crval{i}": header[f"CRVAL{i}"]}
                    row |= {f"cd{i}{j}": header[f"CD{i}_{j}"] for j in (1, 2)}
                rows.append(row)
    return rows


def _common(plan: NightPlan, ccd: CcdExposure, frame: Frame) -> dict[str, str | int | float]:
    exposure, opened = ccd.exposure, utc(frame.mjd)
    observed = isinstance(frame, ObjectFrame)
    return {
        "infobits": 0,
        "field": exposure.field,
        "ccdid": ccd.ccdid,
        "fid": FILTER_IDS[exposure.filter],
        "filtercode": str(exposure.filter),
        "nid": night_number(frame.mjd),
        "expid": exposure_number(frame.mjd),
        "itid": _ITID[exposure.image_type],
        "imgtype": IMAGE_TYPE_NAMES[exposure.image_type],
        "imgtypecode": str(exposure.image_type),
        "filefracday": exposure.filefracday,
        "obsdate": opened.isoformat(sep=" ", timespec="milliseconds")[:23] + "+00",
        "obsjd": round(frame.mjd + 2400000.5, 7),
        "exptime": frame.exptime,
        "ipac_gid": 1,
        "seeing": round(frame.seeing * plan.camera.pixel_scale, 5) if isinstance(frame, ObjectFrame) else "",
        "airmass": round(frame.airmass, 4) if isinstance(frame, ObjectFrame) else "",
        "moonillf": 0.0,
        "moonesb": 0.0 if observed else "",
        "ipac_pub_date": f"{plan.night + PUBLIC_AFTER:%Y-%m-%d} 00:00:00+00",
    }


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Write rows as the archive answers a query with ct=csv."""

    def write(part: Path) -> None:
        with part.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    write_whole(path, write)
