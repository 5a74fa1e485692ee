"""One frame of each kind of a night, its headers, mask and reference stars, from the archive to stars on pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from numpy.typing import NDArray

from ztf_in2p3.archive.check import first_image
from ztf_in2p3.archive.layout import ArchiveFile
from ztf_in2p3.archive.listing import Listing
from ztf_in2p3.archive.reference import ReferenceCatalogue
from ztf_in2p3.camera import Camera
from ztf_in2p3.catalogue.stars import cone, wcs_of
from ztf_in2p3.doctor import detrended, keywords, layout, levels, mask, reference, science, sky, table
from ztf_in2p3.doctor.findings import Examination, Result, failed, ok
from ztf_in2p3.doctor.raw_file import RawFile
from ztf_in2p3.doctor.source import Source
from ztf_in2p3.identifiers import N_QUADRANT, CcdExposure, ImageType
from ztf_in2p3.periods import Period
from ztf_in2p3.products import Kind

BIAS, FLAT, SCIENCE = "bias frame", "flat frame", "science frame"
ARCHIVE, HEADERS, MASK, STARS, SKY = "archive", "science headers", "mask", "reference stars", "stars on the image"
MOST_PARTITIONS = 16
"""Fetched around a CCD: of Gaia's public copy one to four touch it."""
_RIM_ARCSEC = 30.0
_PATH = "the file is listed: try again later, or see in a browser what the archive says"


@dataclass(slots=True, eq=False)
class NightExamination:
    """State of an examination: what earlier steps got hold of."""

    exam: Examination
    source: Source
    night: Period
    camera: Camera
    open_reference: Callable[[], ReferenceCatalogue]
    scratch: Path
    ccdid: int | None = None
    filter: str | None = None
    frames: dict[str, layout.RawFrame] = field(default_factory=dict)
    measured: dict[str, levels.FrameLevels] = field(default_factory=dict)
    headers: dict[int, fits.Header] = field(default_factory=dict)
    matches: list[sky.Match] = field(default_factory=list)
    planes: dict[int, mask.Planes] = field(default_factory=dict)
    """What the image tells of the mask's pixels, by qid."""
    rows: table.Table | None = None
    """Table of the night's raw files."""

    def run(self) -> None:
        """Do every check that can be done."""
        chosen = self.choose()
        ccds = (chosen.bias, chosen.flat, chosen.science) if chosen else (None, None, None)
        for group, ccd in zip((BIAS, FLAT, SCIENCE), ccds, strict=True):
            self.examine_frame(group, ccd)
        ccd = ccds[2]
        self.examine_headers(ccd)
        stars = self.examine_reference()
        self.lay_stars(ccd, stars)
        self.examine_mask(ccd)

    def choose(self) -> table.Chosen | None:
        """Log in, list the night, choose the frames."""
        exam, source = self.exam, self.source
        exam.run(ARCHIVE, "log in", source.log_in, remedy="check user name and password (IRSA_USER, IRSA_PASSWORD)")
        needs = []
        if source.has_tables:
            self.examine_table("raw", None)
            needs = [("raw table", "fetch"), ("raw table", "needed columns")]
        known = exam.run(
            ARCHIVE,
            "list the night",
            lambda: _listed(source.listed(self.night)),
            needs=needs,
            expected="raw files of the night",
            remedy="see in a browser what the archive answers, or README: the layout of a folder",
        ).value
        chosen = exam.run(
            ARCHIVE,
            "choose frames",
            lambda: table.choose(known, self.ccdid, self.filter),
            needs=[(ARCHIVE, "list the night")],
        ).value
        if source.has_tables:
            self.examine_table("sci", chosen, needs=[(ARCHIVE, "choose frames")])
        return chosen if isinstance(chosen, table.Chosen) else None

    def examine_table(self, kind: str, chosen: table.Chosen | None, *, needs: Sequence[tuple[str, str]] = ()) -> None:
        """Fetch all columns of the rows of the night, or of the chosen science frame, and check them."""
        group = {"raw": "raw table", "sci": "science table"}[kind]
        ccd = chosen.science if chosen else None
        finding = self.exam.run(
            group,
            "fetch",
            lambda: _table(self.source.table(kind, self.night, ccd)),
            needs=needs,
            expected="a CSV table with IRSA's columns",
            remedy="see in a browser what the archive answers; its address is --archive",
        )
        self.exam.run_all(group, table.CHECKS, finding.value, needs=[(group, "fetch")])
        if kind == "raw":
            self.rows = finding.value

    def examine_frame(self, group: str, ccd: CcdExposure | None) -> None:
        """Fetch a raw file and check it."""
        exam = self.exam

        def fetch() -> Result:
            assert ccd is not None
            path = self.source.fetch(ArchiveFile(Kind.RAW, ccd), self.scratch)
            return ok(f"{path.name}, {path.stat().st_size / 1e6:.1f} MB", value=path)

        kind = {BIAS: ImageType.BIAS, FLAT: ImageType.FLAT, SCIENCE: ImageType.OBJECT}[group]
        path = exam.run(
            group, "fetch", fetch, needs=[(ARCHIVE, "choose frames")], expected="the listed file", remedy=_PATH
        ).value
        file = exam.run(
            group,
            "open",
            lambda: ok("a FITS file", value=RawFile.read(path)),
            needs=[(group, "fetch")],
            expected="a FITS file",
            remedy="fetch it again; look at its first bytes",
        ).value
        if file is not None and ccd is not None:
            self.frames[group] = layout.RawFrame.of(file, ccd, self.camera)
        frame = self.frames.get(group)
        exam.run_all(group, (*layout.CHECKS, *keywords.CHECKS), frame, needs=[(group, "open")])
        rows = self.rows
        if self.source.has_tables:
            alike = [("raw table", name) for name in ("columns", "forms", "dates")]
            alike += [(group, name) for name in ("open", "keywords", "keyword types", "keyword values", "dates")]

            def compare() -> Result:
                assert rows is not None
                assert frame is not None
                return table.beside(table.row_of(rows, frame.ccd), frame.file.primary)

            exam.run(group, "table row", compare, needs=alike)

        def decode() -> Result:
            assert frame is not None
            return ok("all decoded", value=levels.FrameLevels.measure(frame))

        numbers = exam.run(
            group,
            "pixels",
            decode,
            needs=[(group, name) for name in ("HDUs", "HDU order", "sizes", "AMP_ID")],
            expected="pixels that can be decoded",
            remedy=layout.AGAIN,
        ).value
        if numbers is not None:
            self.measured[group] = numbers
        exam.run_all(group, levels.CHECKS[kind], numbers, needs=[(group, "pixels")])

    def examine_headers(self, ccd: CcdExposure | None) -> None:
        """Fetch the science headers of the four quadrants and check them together."""

        def fetch() -> Result:
            assert ccd is not None
            for qid in range(1, N_QUADRANT + 1):
                self.headers[qid] = self.source.header(ArchiveFile(Kind.HEADER, ccd, qid))
            return ok(f"{len(self.headers)} headers")

        self.exam.run(
            HEADERS,
            "fetch",
            fetch,
            needs=[(ARCHIVE, "choose frames")],
            expected="science headers of four quadrants",
            remedy=_PATH,
        )
        frame = self.frames.get(SCIENCE)
        subject = science.ScienceHeaders(self.headers, frame.ccd, self.camera, frame.file.primary) if frame else None
        needs = [(HEADERS, "fetch"), (SCIENCE, "open")]
        self.exam.run_all(HEADERS, science.CHECKS, subject, needs=needs)

    def examine_reference(self) -> pa.Table | None:
        """Open the reference catalogue, fetch what lies around the CCD, check it."""
        exam = self.exam
        catalogue = exam.run(
            STARS,
            "catalogue",
            lambda: ok("opened", value=self.open_reference()),
            expected="a HATS catalogue",
            remedy="name a HATS catalogue with --reference",
        ).value

        def fetch() -> Result:
            circle = cone([wcs_of(h, f"q{q}") for q, h in self.headers.items()], self.camera.shape, _RIM_ARCSEC)
            pixels = catalogue.partitions(*circle)
            if not pixels:
                remedy = "is the catalogue of another part of the sky? Name another with --reference"
                return failed("no partition", "a partition around the CCD", remedy)
            paths = []
            for order, pixel in pixels[:MOST_PARTITIONS]:
                paths.append(self.scratch / f"{order}_{pixel}.parquet")
                catalogue.fetch(order, pixel, paths[-1])
            stars = pa.concat_tables([pq.read_table(path) for path in paths])
            return ok(f"{len(paths)} partitions, {stars.num_rows} stars, all columns", value=stars)

        stars = exam.run(
            STARS,
            "partition",
            fetch,
            needs=[(STARS, "catalogue"), (HEADERS, "astrometry")],
            expected="Gaia's columns in the partitions around the CCD",
            remedy="is this a whole copy of Gaia DR3?",
        ).value
        exam.run_all(STARS, reference.CHECKS, stars, needs=[(STARS, "partition")])
        return stars

    def lay_stars(self, ccd: CcdExposure | None, stars: pa.Table | None) -> None:
        """Detrend quadrant by quadrant, measure the gain, lay the stars on."""
        gains: dict[int, float] = {}
        nominal: dict[int, float] = {}
        sources: dict[int, sky.Sources] = {}

        def detrend() -> Result:
            raw, bias, flat = (self.frames[group].file for group in (SCIENCE, BIAS, FLAT))
            level = detrended.flat_level(bias, flat)
            for qid, header in sorted(self.headers.items()):
                image = detrended.detrend(raw, bias, flat, qid, level)
                nominal[qid] = sky.number_of(raw.hdus[qid].header, "GAIN", self.camera.gain)
                noise = self.measured[BIAS].quadrants[qid - 1].noise
                gains[qid] = detrended.photon_gain(image, noise, nominal[qid], level)
                sources[qid] = sky.find_sources(image.data, sky.number_of(header, "SEEING", 2.2))
                self.planes[qid] = mask.Planes(image.full, image.response < mask.DARK)
            return ok("bias and flat frame taken out of the science frame")

        def match() -> Result:
            assert ccd is not None
            for qid, detected in sources.items():
                band = ccd.exposure.filter
                laid = sky.Match.measure(qid, detected, self.camera.shape, self.headers[qid], stars, band)
                self.matches.append(laid)
            n = sum(len(detected.x) for detected in sources.values())
            return ok(f"{n} sources, {sum(match.n_star for match in self.matches)} reference stars")

        pixels = [(group, "pixels") for group in (BIAS, FLAT, SCIENCE)]
        self.exam.run(SKY, "detrend", detrend, needs=[*pixels, (FLAT, "level"), (HEADERS, "fetch")])
        amplifiers = [(SCIENCE, f"amplifier {name}") for name in ("keywords", "types", "values")]
        self.exam.run(
            SKY,
            "gain",
            lambda: detrended.gain(gains, nominal),
            needs=[(SKY, "detrend"), (BIAS, "level"), (BIAS, "read noise"), (SCIENCE, "level"), *amplifiers],
        )
        needs = [(SKY, "detrend"), (HEADERS, "astrometry"), *((STARS, name) for name in ("partition", "positions"))]
        self.exam.run(SKY, "match", match, needs=needs)
        known = [match for match in self.matches if match.n_star >= sky.FEWEST]
        self.exam.run_all(SKY, sky.CHECKS, known, needs=[(SKY, "match")])

    def examine_mask(self, ccd: CcdExposure | None) -> None:
        """Fetch the masks of all quadrants and check them beside the image."""
        masks: list[mask.MaskImage] = []

        def fetch() -> Result:
            assert ccd is not None
            for qid in range(1, N_QUADRANT + 1):
                path = self.source.fetch(ArchiveFile(Kind.MASK, ccd, qid), self.scratch)
                with fits.open(path, memmap=False) as hdus:
                    hdu = hdus[first_image(hdus) or 0]
                    masks.append(self._mask(qid, np.asarray(hdu.data), hdu.header.copy()))
            return ok(f"{len(masks)} masks, {sum(image.bits.size for image in masks) / 1e6:.1f} million pixels")

        self.exam.run(
            MASK,
            "fetch",
            fetch,
            needs=[(ARCHIVE, "choose frames")],
            expected="the masks of four quadrants",
            remedy=_PATH,
        )
        self.exam.run_all(MASK, mask.CHECKS, masks, needs=[(MASK, "fetch")])

    def _mask(self, qid: int, bits: NDArray, header: fits.Header) -> mask.MaskImage:
        match = next((match for match in self.matches if match.qid == qid and match.orientation), None)
        nothing = np.zeros(0)
        x, y = (match.x, match.y) if match else (nothing, nothing)
        turn, planes = match.orientation if match else "as stored", self.planes.get(qid)
        full, dark = (sky.turned(plane, turn) for plane in (planes.full, planes.dark)) if planes else (None, None)
        return mask.MaskImage(qid, bits, header, self.camera.shape, x, y, full, dark)


def _listed(listed: Listing[CcdExposure]) -> Result:
    aside = sum(group.count for group in listed.skipped)
    return ok(f"{len(listed)} raw files" + (f", {aside} rows set aside" if aside else ""), value=listed)


def _table(rows: table.Table) -> Result:
    return ok(f"{len(rows.rows)} rows", value=rows)
