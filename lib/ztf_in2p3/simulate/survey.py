"""A simulated night, or several, on disk in the archive's layout.

raw/YYYY/MMDD/FFFFFF/ztf_..._cCC_T.fits.fz          raw files
sci/YYYY/MMDD/FFFFFF/ztf_..._cCC_o_qQ_sciimg.fits   the archive's science images and their masks (mskimg)
meta/raw.csv, meta/sci.csv                          its tables
reference/                                          the catalogue of stars (HATS), in its collection
truth/plan.json, truth/ztf_..._cCC_o.parquet        the plans, and the stars of each CCD exposure
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from astropy.io.fits.verify import VerifyWarning

from ztf_in2p3.archive.table_columns import TABLE_COLUMNS
from ztf_in2p3.identifiers import N_QUADRANT, CcdExposure, Filter, ImageType, Quadrant
from ztf_in2p3.simulate import files
from ztf_in2p3.simulate.chain import collected_charge, expected_charge, read_out
from ztf_in2p3.simulate.exposures import NightPlan, ObjectFrame
from ztf_in2p3.simulate.flats import FlatLevels, flat_levels
from ztf_in2p3.simulate.metadata import raw_rows, science_rows, write_rows
from ztf_in2p3.simulate.nights import plans_to_json
from ztf_in2p3.simulate.oddities import make_odd, oddities
from ztf_in2p3.simulate.raw import Readout, write_raw
from ztf_in2p3.simulate.reference import Cone, write_reference
from ztf_in2p3.simulate.science import science_header, science_image, science_mask, write_mask, write_science
from ztf_in2p3.simulate.truth import PLAN, star_table
from ztf_in2p3.simulate.wcs import centre_pixel, field_position
from ztf_in2p3.spawned import spawning

REFERENCE_MARGIN_DEG = 0.1
"""Margin of the reference catalogue around every quadrant."""


def simulate_night(
    plan: NightPlan, folder: Path, workers: int = 1, progress: Callable[[int, int], None] | None = None
) -> int:
    """Simulate one night as `simulate_survey` does."""
    return simulate_survey((plan,), folder, workers, progress)


def simulate_survey(
    plans: Sequence[NightPlan], folder: Path, workers: int = 1, progress: Callable[[int, int], None] | None = None
) -> int:
    """Write what is missing of some nights; returns the number of files written of the CCD exposures.

    Parameters
    ----------
    plans
        Plans of one camera, seed and sky, see `simulate.nights`; the first is the one whose calibrations `Truth` tells.
    folder
        Root of the tree.  Every file appears whole or not at all, so an interrupted simulation is
        taken up where it stopped, and a finished one is left as it is.
    workers
        Processes.
    progress
        Called with the number of CCD exposures done and in all.

    Raises
    ------
    ValueError
        The folder holds another night, or the nights are not of one survey.
    """
    written_plan, text = folder / PLAN, plans_to_json(plans)
    if written_plan.exists() and written_plan.read_text() != text:
        raise ValueError(f"{folder} holds another simulated night than this plan: choose another folder, or remove it")
    files.write_whole(written_plan, lambda part: part.write_text(text))
    _write_tables(plans, folder)

    everything = [(plan, ccd) for plan in plans for ccd in plan.ccd_exposures]
    missing = [
        (plan, ccd) for plan, ccd in everything if not all((folder / path).exists() for path in ccd_files(plan, ccd))
    ]
    done = len(everything) - len(missing)
    if progress:
        progress(done, len(everything))
    levels = _levels(missing)

    written = 0
    if workers <= 1:
        for plan, ccd in missing:
            written += simulate_ccd(plan, ccd, folder, levels[plan.night])
            done += 1
            if progress:
                progress(done, len(everything))
        return written
    with ProcessPoolExecutor(workers, mp_context=spawning(), initializer=_begin_worker) as pool:
        futures = [pool.submit(simulate_ccd, plan, ccd, folder, levels[plan.night]) for plan, ccd in missing]
        try:
            for future in as_completed(futures):
                written += future.result()
                done += 1
                if progress:
                    progress(done, len(everything))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return written


def _begin_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the parent says what ends
    warnings.filterwarnings(
        "ignore", message="Card is too long", category=VerifyWarning
    )  # of its comment, cut by design
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End when the parent is gone, however it ended: nobody wants these files any more."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def ccd_files(plan: NightPlan, ccd: CcdExposure) -> list[str]:
    """Paths, below the root of the tree, of the files of a CCD exposure."""
    paths = [files.raw_path(ccd)]
    if isinstance(plan.frame(ccd.exposure), ObjectFrame):
        for qid in range(1, N_QUADRANT + 1):
            paths += [files.science_path(ccd, qid), files.mask_path(ccd, qid)]
        paths.append(files.star_truth_path(ccd))
    return paths


def simulate_ccd(plan: NightPlan, ccd: CcdExposure, folder: Path, levels: Mapping[Filter, FlatLevels]) -> int:
    """Write those files of a CCD exposure that are not there; returns their number.

    `levels` has those of the flats of the exposure's filter; a calibration frame needs none.
    """
    missing = {path for path in ccd_files(plan, ccd) if not (folder / path).exists()}
    frame = plan.frame(ccd.exposure)

    def write_missing(path: str, write: Callable[[Path], object]) -> None:
        def write_odd(part: Path) -> None:
            write(part)
            make_odd(part, odd.get(path, ()), plan, ccd)

        if path in missing:
            files.write_whole(folder / path, write_odd)

    odd, readouts = oddities(plan), dict[int, Readout]()
    for qid in range(1, N_QUADRANT + 1):
        quadrant = Quadrant(ccd.ccdid, qid)
        charge = collected_charge(plan, frame, quadrant, expected_charge(plan, frame, quadrant))
        readouts[qid] = read_out(plan, frame, quadrant, charge)
        if not isinstance(frame, ObjectFrame):
            continue
        level = levels[frame.exposure.filter]
        with warnings.catch_warnings():  # comments of some cards are cut: nothing is lost but words
            warnings.filterwarnings("ignore", message="Card is too long", category=VerifyWarning)
            header = science_header(plan, ccd, qid, level)
        if (path := files.science_path(ccd, qid)) in missing:
            image = science_image(plan, ccd, qid, charge, level)
            write_missing(path, partial(write_science, header=header, image=image))
        if (path := files.mask_path(ccd, qid)) in missing:
            mask = science_mask(plan, ccd, qid, charge)
            write_missing(path, partial(write_mask, header=header, mask=mask))
    if isinstance(frame, ObjectFrame) and (path := files.star_truth_path(ccd)) in missing:
        stars = star_table(plan, ccd, levels[frame.exposure.filter])
        write_missing(path, partial(pq.write_table, stars))
    write_missing(files.raw_path(ccd), partial(write_raw, plan=plan, ccd=ccd, readouts=readouts))
    return len(missing)


def _levels(missing: Iterable[tuple[NightPlan, CcdExposure]]) -> dict[date, dict[Filter, FlatLevels]]:
    """Levels of flats by night and filter, as far as exposures of the sky need them; worked out once a night."""
    known: dict[tuple[date, Filter], FlatLevels] = {}
    levels: dict[date, dict[Filter, FlatLevels]] = {}
    for plan, ccd in missing:
        of_night, filter = levels.setdefault(plan.night, {}), ccd.exposure.filter
        if ccd.exposure.image_type is ImageType.OBJECT and filter not in of_night:
            lamp_plan = plan.lamp_night(filter)
            if (lamp_plan.night, filter) not in known:
                known[lamp_plan.night, filter] = flat_levels(lamp_plan, filter)
            of_night[filter] = known[lamp_plan.night, filter]
    return levels


def _write_tables(plans: Sequence[NightPlan], folder: Path) -> None:
    if not (folder / "meta/raw.csv").exists():
        write_rows(folder / "meta/raw.csv", TABLE_COLUMNS["raw"], [row for plan in plans for row in raw_rows(plan)])
    if not (folder / "meta/sci.csv").exists():
        write_rows(folder / "meta/sci.csv", TABLE_COLUMNS["sci"], [row for plan in plans for row in science_rows(plan)])
    if not (folder / "reference/collection.properties").exists():
        cones = [cone for plan in plans for cone in reference_cones(plan)]
        write_reference(plans[0].sky, folder / "reference", cones)


def reference_cones(plan: NightPlan) -> list[Cone]:
    """Around every quadrant of every exposure, with a margin."""
    camera = plan.camera
    x0, y0 = centre_pixel(camera)
    radius = float(np.hypot(*camera.shape)) / 2 * camera.pixel_scale / 3600 + REFERENCE_MARGIN_DEG
    cones = []
    for frame in plan.objects:
        for ccdid in plan.ccdids:
            for qid in range(1, N_QUADRANT + 1):
                ra, dec = field_position(plan, frame, Quadrant(ccdid, qid), x0, y0)
                cones.append((float(ra), float(dec), radius))
    return cones
