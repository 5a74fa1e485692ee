"""A few small files in the archive's layout, and its two tables about them."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits

RAW_COLUMNS = (
    "infobits field ccdid fid filtercode nid expid itid imgtype imgtypecode filefracday obsdate obsjd exptime ipac_gid "
    "seeing airmass moonillf moonesb telra teldec ccdrot ipac_pub_date meta_id"
)
SCI_COLUMNS = (
    "ra dec infobits field ccdid qid rcid fid filtercode pid nid expid itid imgtype imgtypecode obsdate obsjd exptime "
    "filefracday seeing airmass moonillf moonesb maglimit crpix1 crpix2 crval1 crval2 cd11 cd12 cd21 cd22 ra1 dec1 ra2 "
    "dec2 ra3 dec3 ra4 dec4 ipac_pub_date ipac_gid meta_id"
)

SHAPE, OVERSCAN = (40, 36), (40, 8)
SCALE = 2.8117e-4
"""Degrees per pixel."""

TYPES = {"o": "object", "b": "bias", "f": "flat"}


@dataclass(frozen=True)
class Frame:
    name: str
    """Of the file, without its suffix."""
    obsjd: float
    field: str = ""
    """In the table."""
    public: str = "2019-06-05 00:00:00+00"
    led: int = 0
    file: bool = True
    """False: listed, but not there."""

    @property
    def parts(self) -> tuple[str, str, int, str]:
        _, day, _, filter_, ccd, kind = self.name.split("_")
        return day, filter_, int(ccd[1:]), kind

    @property
    def folder(self) -> str:
        day = self.parts[0]
        return f"{day[:4]}/{day[4:8]}/{day[8:]}"

    @property
    def raw(self) -> str:
        return f"raw/{self.folder}/{self.name}.fits.fz"

    def quadrant(self, qid: int, suffix: str) -> str:
        return f"sci/{self.folder}/{self.name}_q{qid}_{suffix}"


BIAS = Frame("ztf_20190405111111_000000_bi_c03_b", 2458578.611, field="0")
ODD_BIAS = Frame("ztf_20190405122222_000000_bi_c03_b", 2458578.622, field="655")
"""The table gives it a field, its name has none."""
FLAT = Frame("ztf_20190405133333_000000_zg_c03_f", 2458578.633, led=2)
SKY = Frame("ztf_20190405444444_000655_zr_c03_o", 2458578.9444, field="655")
SKY_4 = Frame("ztf_20190405444444_000655_zr_c04_o", 2458578.9444, field="655")
EDGE = Frame("ztf_20190405999995_000655_zg_c03_o", 2458579.50001, field="655")
"""Its name says the 5th, its Julian date the 6th."""
LATER = Frame("ztf_20190415444444_000656_zg_c03_o", 2458588.9444, field="656")
SECRET = Frame("ztf_20190405555555_000657_zr_c03_o", 2458579.0555, field="657")
"""For users only."""
EMBARGOED = Frame("ztf_20190405666666_000655_zr_c03_o", 2458579.1666, field="655", public="2030-01-02 00:00:00+00")
LOST = Frame("ztf_20190405777777_000655_zr_c03_o", 2458579.2777, field="655", public="", file=False)

FRAMES = (BIAS, ODD_BIAS, FLAT, SKY, SKY_4, EDGE, LATER, SECRET, EMBARGOED, LOST)
QUADRANTS = {SKY: (1, 2), LATER: (1,), SECRET: (1,), EMBARGOED: (1,)}
"""Quadrants with a science image; quadrant 2 has no astrometry."""


def write_tree(root: Path) -> Path:
    for frame in FRAMES:
        if frame.file:
            write_raw(root / frame.raw, frame)
    for frame, qids in QUADRANTS.items():
        for qid in qids:
            write_science(root / frame.quadrant(qid, "sciimg.fits"), frame, qid, wcs=qid != 2)
            write_mask(root / frame.quadrant(qid, "mskimg.fits"), frame, qid)
    write_tables(root / "meta")
    (root / "raw/README.txt").write_text("strangers live here too\n")
    (root / f"raw/{SKY.folder}/notes.fits").write_bytes(b"not ours")
    return root


def write_raw(path: Path, frame: Frame, hdus: int = 9) -> None:
    rng = np.random.default_rng(int(frame.parts[0]))
    primary = fits.PrimaryHDU()
    primary.header.update(
        OBSMJD=frame.obsjd - 2400000.5, OBSJD=frame.obsjd, EXPTIME=30.0, IMGTYPE=TYPES[frame.parts[3]], AIRMASS=1.1
    )
    if frame.led:
        primary.header["ILUM_LED"] = frame.led
    images: list = []
    for index in range(hdus - 1):
        pixels = rng.normal(1000, 20, SHAPE if index < 4 else OVERSCAN).astype("f4")
        image = fits.CompImageHDU(pixels, compression_type="RICE_1", tile_shape=(1, pixels.shape[1]), quantize_level=4)
        if index < 4:
            image.header.update(CCD_ID=frame.parts[2], AMP_ID=index, GAIN=6.0, READNOI=9.0)
        images.append(image)
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.HDUList([primary, *images]).writeto(path, checksum=True, overwrite=True)


def science_header(frame: Frame, qid: int, *, wcs: bool = True) -> fits.Header:
    header = fits.Header()
    header["OBSMJD"] = (frame.obsjd - 2400000.5, "MJD corresponds to UTC-OBS (day)")
    header.update(EXPTIME=30.0, IMGTYPE="object", AIRMASS=1.1, CCD_ID=frame.parts[2], AMP_ID=qid - 1)
    header.update(SEEING=1.9, INFOBITS=0, MAGLIM=20.7, CCDTMP01=173.974)
    if wcs:
        header.update(CTYPE1="RA---TPV", CTYPE2="DEC--TPV", CUNIT1="deg", CUNIT2="deg", RADESYS="ICRS")
        header.update(CRPIX1=18.5, CRPIX2=20.5, CRVAL1=57.9974, CRVAL2=35.74629)
        header.update(CD1_1=-SCALE, CD1_2=0.0, CD2_1=0.0, CD2_2=-SCALE, PV1_1=1.0, PV2_1=1.0)
    header["HISTORY"] = "executed SplitQuadrants"
    return header


def write_science(path: Path, frame: Frame, qid: int, *, wcs: bool = True) -> None:
    pixels = np.random.default_rng(qid).normal(300, 8, SHAPE).astype("f4")
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.PrimaryHDU(pixels, science_header(frame, qid, wcs=wcs)).writeto(path, overwrite=True)


def write_mask(path: Path, frame: Frame, qid: int) -> None:
    header = fits.Header()
    header.update(OBSMJD=frame.obsjd - 2400000.5, CCD_ID=frame.parts[2], AMP_ID=qid - 1)
    fits.PrimaryHDU(np.full(SHAPE, 2, "i2"), header).writeto(path, overwrite=True)


def write_tables(meta: Path) -> None:
    meta.mkdir(parents=True, exist_ok=True)
    fids = {"bi": "", "zg": "1", "zr": "2", "zi": "3"}
    common = [
        {
            "field": frame.field, "ccdid": frame.parts[2], "fid": fids[frame.parts[1]], "filtercode": frame.parts[1],
            "imgtype": TYPES[frame.parts[3]], "imgtypecode": frame.parts[3], "filefracday": frame.parts[0],
            "obsjd": frame.obsjd, "exptime": 30, "ipac_pub_date": frame.public, "infobits": 0,
        }
        for frame in FRAMES
    ]  # fmt: skip
    _write(meta / "raw.csv", RAW_COLUMNS, common)
    corner = {"ra1": 57.99, "dec1": 35.74, "ra2": 58.01, "dec2": 35.74, "ra3": 58.01, "dec3": 35.76, "ra4": 57.99}
    corner |= {"dec4": 35.76, "ra": 58.0, "dec": 35.75}
    rows = [
        row | corner | {"qid": qid, "rcid": 4 * (row["ccdid"] - 1) + qid - 1}
        for row, frame in zip(common, FRAMES, strict=True)
        for qid in QUADRANTS.get(frame, ())
    ]
    _write(meta / "sci.csv", SCI_COLUMNS, rows)


def _write(path: Path, columns: str, rows: list[dict]) -> None:
    with path.open("w", newline="") as stream:
        table = csv.DictWriter(stream, columns.split(), restval="")
        table.writeheader()
        table.writerows(rows)
