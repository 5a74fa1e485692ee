"""A simulated night in which facts can be altered one at a time, and what the examination makes of it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ztf_in2p3.archive import LocalTree
from ztf_in2p3.archive.reference import ReferenceCatalogue
from ztf_in2p3.camera import TINY
from ztf_in2p3.doctor import Examination, Status
from ztf_in2p3.doctor.night import BIAS as BIAS_FRAME
from ztf_in2p3.doctor.night import FLAT as FLAT_FRAME
from ztf_in2p3.doctor.night import HEADERS, SCIENCE, STARS, NightExamination
from ztf_in2p3.doctor.report import troubles
from ztf_in2p3.doctor.source import Source, TreeSource
from ztf_in2p3.identifiers import Filter
from ztf_in2p3.periods import Period
from ztf_in2p3.simulate import files
from ztf_in2p3.simulate.exposures import NightPlan, tiny_night
from ztf_in2p3.simulate.raw import write_raw

NIGHT = Period.of(date(2019, 4, 5))
PLAN: NightPlan = replace(
    tiny_night(ccdids=(3,), filters=(Filter.ZR,), n_bias=1, n_led=1, n_flat=1, n_object=1, n_field=1), odd_share=0.0
)
"""Without odd files: which facts differ is each test's choice."""
BIAS, FLAT, OBJECT = (
    next(ccd for ccd in PLAN.ccd_exposures if ccd.exposure.image_type == kind) for kind in ("b", "f", "o")
)

Planes = dict[int, tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Image and overscan by qid, as stored, ADU."""


@dataclass(frozen=True)
class Altered:
    """A copy of the night's files."""

    tree: Path

    @classmethod
    def of(cls, tree: Path, folder: Path) -> Altered:
        """Linked, so it costs nothing; whoever alters a file writes a new one."""
        return cls(shutil.copytree(tree, folder, copy_function=_link))

    def raw(self, ccd) -> Path:
        return self.tree / files.raw_path(ccd)

    def science(self, qid: int) -> Path:
        return self.tree / files.science_path(OBJECT, qid)

    def mask(self, qid: int) -> Path:
        return self.tree / files.mask_path(OBJECT, qid)

    def edit(self, path: Path, change: Callable[[fits.HDUList], object]) -> None:
        """Change the HDUs of a file as they are stored: compressed pixels stay the bytes that they are."""
        with fits.open(path, memmap=False, disable_image_compression=True, lazy_load_hdus=False) as hdus:
            change(hdus)
            fresh = path.with_name("fresh.fits")
            hdus.writeto(fresh, output_verify="silentfix")
        fresh.replace(path)

    def add_datasums(self, path: Path) -> None:
        """Sums of the data as stored, where a new HDU has none."""

        def change(hdus: fits.HDUList) -> None:
            for hdu in hdus[1:]:
                if "DATASUM" not in hdu.header:
                    hdu.add_datasum()

        self.edit(path, change)

    def header(self, path: Path, index: int = 0, **cards: object) -> None:
        """Set cards of an HDU; None takes the card away."""

        def change(hdus: fits.HDUList) -> None:
            for key, value in cards.items():
                if value is None:
                    del hdus[index].header[key]
                else:
                    hdus[index].header[key] = value

        self.edit(path, change)

    def pixels(self, ccd, change: Callable[[Planes], object]) -> None:
        """Change what the amplifiers of a raw file read, and write it as the camera does."""
        path = self.raw(ccd)
        with fits.open(path, memmap=False) as hdus:
            planes = {
                qid: tuple(np.array(hdus[k].data, dtype=np.float32) for k in (qid, 4 + qid)) for qid in range(1, 5)
            }
        change(planes)
        path.unlink()
        write_raw(path, PLAN, ccd, {qid: tuple(map(np.ascontiguousarray, pair)) for qid, pair in planes.items()})


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)


def examine(
    night: Altered, source: Source | None = None, reference: Path | None = None, only: Collection[str] | None = None
) -> Examination:
    """Examine the night: all of it, or after its listing only some groups, which is four times cheaper and more."""
    exam = Examination()
    catalogue = night.tree / "reference" if reference is None else reference
    with tempfile.TemporaryDirectory() as scratch:
        examination = NightExamination(
            exam,
            TreeSource(LocalTree(night.tree)) if source is None else source,
            NIGHT,
            TINY,
            lambda: ReferenceCatalogue.open(str(catalogue)),
            Path(scratch),
        )
        if only is None:
            examination.run()
        else:
            _examine_groups(examination, only)
    return exam


def _examine_groups(examination: NightExamination, groups: Collection[str]) -> None:
    chosen = examination.choose()
    frames = {BIAS_FRAME: chosen.bias, FLAT_FRAME: chosen.flat, SCIENCE: chosen.science} if chosen else {}
    for group in (BIAS_FRAME, FLAT_FRAME, SCIENCE):
        if group in groups:
            examination.examine_frame(group, frames.get(group))
    if HEADERS in groups:
        examination.examine_headers(frames.get(SCIENCE))
    if STARS in groups:
        examination.examine_reference()


def named(exam: Examination) -> set[str]:
    """``group: check`` of what differs or failed."""
    return set(troubles(exam.findings))


def finding(exam: Examination, name: str):
    (named_so,) = [line for line in exam.findings if f"{line.group}: {line.check}" == name]
    return named_so


def skipped(exam: Examination) -> set[str]:
    return {f"{line.group}: {line.check}" for line in exam.findings if line.status is Status.SKIPPED}
