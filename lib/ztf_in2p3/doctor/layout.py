"""Layout of a raw file: what HDUs there are, how large, in which form, with which sums."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from ztf_in2p3.camera import Camera
from ztf_in2p3.cards import integer, text
from ztf_in2p3.doctor.findings import Check, Result, differs, ok
from ztf_in2p3.doctor.raw_file import Hdu, RawFile
from ztf_in2p3.errors import BadData
from ztf_in2p3.identifiers import N_QUADRANT, CcdExposure
from ztf_in2p3.raw_layout import RawLayout

N_HDU = 1 + 2 * N_QUADRANT
TELL_US = "send us the JSON report; until the reader knows this form, these frames cannot be reduced"
AGAIN = "fetch the file again; if it comes the same, tell the archive"


@dataclass(frozen=True, slots=True, eq=False)
class RawFrame:
    """A raw file and what it should be."""

    file: RawFile
    """The file with its HDUs in the order of the reader, who goes by AMP_ID; as stored where that cannot tell."""
    ccd: CcdExposure
    camera: Camera

    @classmethod
    def of(cls, file: RawFile, ccd: CcdExposure, camera: Camera) -> Self:
        """The frame of a file."""
        try:
            places = RawLayout.of(file.hdus, str(file.path))
        except BadData:  # the checks name what is wrong
            return cls(file, ccd, camera)
        return cls(file.arranged((0, *places.quadrants, *places.overscans)), ccd, camera)

    def shape(self, index: int) -> tuple[int, int]:
        """(rows, columns) expected of an HDU."""
        rows, columns = self.camera.shape
        return rows, columns if index <= N_QUADRANT else self.camera.overscan_columns


def hdus(frame: RawFrame) -> Result:
    """Number of HDUs of a raw file."""
    n, expected = len(frame.file.hdus), f"{N_HDU}: keywords, {N_QUADRANT} quadrants, {N_QUADRANT} overscans"
    return ok(f"{n} HDUs", expected) if n == N_HDU else differs(f"{n} HDUs", expected, f"{AGAIN}; else {TELL_US}")


def order(frame: RawFrame) -> Result:
    """Quadrants before overscans, and names that are numbers in their order; or AMP_IDs that say which is which."""
    widths = [
        "overscan" if hdu.shape[-1:] == (frame.camera.overscan_columns,) else "quadrant" for hdu in frame.file.hdus[1:]
    ]
    names = {hdu.place: hdu.name for hdu in frame.file.hdus[1:]}
    expected = f"keywords, {N_QUADRANT} quadrants by qid, then their overscans by qid; else AMP_ID says which is which"
    if widths != ["quadrant"] * N_QUADRANT + ["overscan"] * N_QUADRANT and set(widths) == {"quadrant", "overscan"}:
        return differs(", ".join(widths), expected, TELL_US)
    misplaced = [
        f"HDU {hdu.place} is named {hdu.name!r}"
        for hdu, number in _numbered(frame)
        if "AMP_ID" not in hdu.header and hdu.name.isdigit() and int(hdu.name) != number
    ]
    if misplaced and len(set(filter(str.isdigit, names.values()))) == len(names):
        return differs(", ".join(misplaced), expected, TELL_US)
    places = [str(place) for place in names]
    if sorted(names) != list(names):
        where = f"quadrants in HDUs {' '.join(places[:N_QUADRANT])}, overscans in {' '.join(places[N_QUADRANT:])}"
        return ok(f"as AMP_ID says, {where}", expected)
    return ok(f"quadrants, overscans; names {', '.join(name or '-' for name in names.values())}", expected)


def amplifiers(frame: RawFrame) -> Result:
    """AMP_ID of the quadrants counts from 0; where the overscans have one, theirs too; names say the same."""
    expected = [*range(N_QUADRANT)] * 2
    numbers = [integer(hdu.header, "AMP_ID") for hdu in frame.file.hdus[1:]]
    same = all(number is None or number == want for number, want in zip(numbers, expected, strict=True))
    odd = [
        hdu
        for hdu, number in _numbered(frame)
        if "AMP_ID" in hdu.header and hdu.name.isdigit() and int(hdu.name) != number
    ]
    stored = sorted(frame.file.hdus[1:], key=lambda hdu: hdu.place)
    observed = "AMP_ID " + " ".join((text(hdu.header, "AMP_ID") or "-") for hdu in stored)
    if odd:
        observed += f", but names {' '.join(hdu.name for hdu in stored)}"
    wanted = "each of 0 1 2 3 in the quadrants (AMP_ID = qid - 1), in the overscans the same; names as they say"
    return ok(observed, wanted) if same and not odd else differs(observed, wanted, TELL_US)


def _numbered(frame: RawFrame) -> Iterator[tuple[Hdu, int]]:
    """HDUs of quadrants and overscans with their numbers in the usual order."""
    return zip(frame.file.hdus[1:], range(1, N_HDU), strict=True)


def sizes(frame: RawFrame) -> Result:
    """Shapes of the quadrants and overscans against the camera's."""
    right = f"{_size(frame.shape(1))} and {_size(frame.shape(N_HDU - 1))}"
    expected = f"{right} (rows x columns, camera {frame.camera.name})"
    wrong = [
        f"HDU {hdu.place} is {_size(hdu.shape)}"
        for index, hdu in enumerate(frame.file.hdus[1:], 1)
        if hdu.shape != frame.shape(index)
    ]
    if wrong:
        return differs(", ".join(wrong), expected, "name the camera the files are of (--camera); else " + TELL_US)
    return ok(right, expected)


def pixel_type(frame: RawFrame) -> Result:
    """Type of the pixels as they are stored."""
    expected = "BITPIX -32: 32-bit floats"
    wrong = [f"HDU {hdu.place} has BITPIX {hdu.bitpix}" for hdu in frame.file.hdus[1:] if hdu.bitpix != -32]
    return differs(", ".join(wrong), expected, TELL_US) if wrong else ok("BITPIX -32 throughout", expected)


def compression(frame: RawFrame) -> Result:
    """How the images are compressed."""
    expected = "RICE_1, a row a tile"
    wrong, ways = [], set()
    for hdu in frame.file.hdus[1:]:
        ways.add(str(hdu.header.get("ZQUANTIZ", "NO_DITHER")).strip())
        if not hdu.compression:
            wrong.append(f"HDU {hdu.place} is not compressed")
        elif hdu.compression != "RICE_1" or hdu.tile != (1, *hdu.shape[1:]):
            wrong.append(f"HDU {hdu.place} has {hdu.compression} in tiles of {_size(hdu.tile)}")
    if wrong:
        return differs(", ".join(wrong), expected, "they can be read, four times slower; send us the JSON report")
    return ok(f"RICE_1, a row a tile; {', '.join(sorted(ways))}", expected)


def datasum_present(frame: RawFrame) -> Result:
    """Whether each HDU with data has a checksum of them."""
    without = [str(hdu.place) for hdu in frame.file.hdus[1:] if hdu.datasum is None]
    expected = "DATASUM in each HDU with data"
    if without:
        observed = f"none in HDU {', '.join(without)}"
        return differs(observed, expected, "flipped bytes will not be noticed: compare some files with the archive's")
    return ok("in all HDUs with data", expected)


def datasum_right(frame: RawFrame) -> Result:
    """Whether the data fit their checksums."""
    wrong = [str(hdu.place) for hdu in frame.file.hdus if hdu.datasum is False]
    expected = "data that add up to their DATASUM"
    if wrong:
        return differs(f"not in HDU {', '.join(wrong)}", expected, AGAIN)
    n = sum(bool(hdu.datasum) for hdu in frame.file.hdus)
    return ok(f"{n} of {n} add up", expected)


CHECKS = (
    Check("HDUs", hdus),
    Check("HDU order", order, ("HDUs",)),
    Check("sizes", sizes, ("HDUs", "HDU order")),
    Check("AMP_ID", amplifiers, ("HDUs", "HDU order")),
    Check("pixel type", pixel_type),
    Check("compression", compression),
    Check("DATASUM present", datasum_present),
    Check("DATASUM right", datasum_right),
)


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "no image"
