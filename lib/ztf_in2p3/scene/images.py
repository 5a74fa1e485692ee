"""Science images from any directory: the archive's own, or cut-outs of any camera with WCS, gain and mask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ztf_in2p3.archive.header import about_image
from ztf_in2p3.cards import integer, number, required_number, text
from ztf_in2p3.catalogue.science_image import science_image
from ztf_in2p3.errors import BadData
from ztf_in2p3.hdu import Hdu, image_header
from ztf_in2p3.hdus import read_hdus, read_pixels
from ztf_in2p3.identifiers import Filter
from ztf_in2p3.image import Image, MaskBit
from ztf_in2p3.products import Value
from ztf_in2p3.scene.dates import DATE_CARDS, JD_CARDS, MJD_CARDS, start_of_exposure
from ztf_in2p3.scene.pixel_levels import sky_variance

MASKS = (("sciimg", "mskimg"), (".fits", "_mask.fits"), (".fits", ".mask.fits"))
"""What in the name of an image to replace to have that of its mask."""
PLANES = ("MASK", "DQ")
"""Names of the extension that holds the mask, where there is no file of its own."""
WEIGHT_PLANES = ("WHT", "WEIGHT", "IVAR", "ERR", "SIGMA", "VAR", "VARIANCE")
"""Names of extensions in which a pixel without a positive number has no data."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """File of an image, and of its mask."""

    path: Path
    mask: Path | None
    """File of the mask; None: it is in an extension of the image, or nothing is bad but what is not finite."""

    @property
    def stem(self) -> str:
        """Name of the image without its suffixes."""
        return self.path.name.removesuffix(".fz").removesuffix(".gz").removesuffix(".fits")


def find_images(folder: Path) -> Iterator[ImageFile]:
    """Images of a folder and those below it, by name; masks go with their images.

    Raises
    ------
    ValueError
        There is no such folder.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder; expected one with science images (FITS) in it, or below")
    for path in sorted(folder.rglob("*.fits*")):
        if any(masked in path.name for masked in ("mskimg", "_mask.fits", ".mask.fits")):
            continue
        if path.name.endswith((".fits", ".fits.fz", ".fits.gz")):
            names = [path.name.replace(*pair) for pair in MASKS if pair[0] in path.name]
            masks = [
                path.with_name(candidate)
                for name in names
                for candidate in (name, f"{name}.fz", name.removesuffix(".fz"))
            ]
            yield ImageFile(path, next((mask for mask in masks if mask.is_file()), None))


def image_facts(path: Path) -> dict[str, Value]:
    """What the header of an image says: `ztf_in2p3.archive.header.about_image`, and the band; None where it is silent.

    Raises
    ------
    BadData
        The file cannot be read, or has no image of two axes.
    """
    header = _header(path)
    return about_image(header) | {"band": band_of(header)}


def why_unknown(facts: Mapping[str, Value]) -> str:
    """Why an image with these `image_facts` may or may not show a target; empty if its place and date are known."""
    if not facts.get("wcs", True):
        return "no astrometry that can be used; expected the cards of a celestial WCS"
    if facts.get("mjd") is None:
        cards = ", ".join((*MJD_CARDS[:2], *JD_CARDS[:1], *DATE_CARDS[:2]))
        return f"no date between 1950 and 2100; expected a card such as {cards}"
    return ""


def band_of(header: fits.Header) -> str | None:
    """Filter code of ZTF's images (FILTERID 1, 2, 3, or FILTER ending in g, r, i); other cameras' FILTER as it is."""
    codes = {str(filter.fid): str(filter) for filter in Filter if filter is not Filter.BIAS}
    ours = codes.get(str(integer(header, "FILTERID")))
    name = text(header, "FILTER") or ""
    if ours is None and name.upper().startswith("ZTF"):
        ours = next((code for code in codes.values() if code[-1] == name[-1]), None)
    return ours or name or None


def read_image(path: Path, mask: Path | None, bad_bits: int = 0) -> tuple[Image, fits.Header]:
    """Pixels in the unit of the header's GAIN (e-/ADU), with variance and mask.

    The noise is that of the counts and of the header's READNOI; without that, that of the sky as it is found.  Pixels
    are bad by the mask, by a plane of weights (0) or of errors or variances (0 or none) in the file.

    Parameters
    ----------
    bad_bits
        Bits of another camera's mask that make a pixel bad; 0: each of them.

    Raises
    ------
    BadData
        A file is unreadable, shapes differ, or the header lacks what is needed.
    """
    header = _header(path)
    if mask is not None and integer(header, "FILTERID") is not None and number(header, "READNOI") is not None:
        return science_image(path, mask)[0], header
    data, bits = _pixels(path), _mask_plane(path, mask)
    gain = required_number(header, "GAIN", path.name, "electrons per unit of the pixels", positive=True)
    if bits is not None and bits.shape != data.shape:
        raise BadData(f"{path.name}: a mask of {bits.shape} pixels for an image of {data.shape}; expected the same")
    flags = np.zeros(data.shape, np.uint16)
    if bits is not None:
        flags[(bits & bad_bits if bad_bits else bits) != 0] = MaskBit.DEAD
    for name, plane in _planes(path, WEIGHT_PLANES):
        if plane.shape != data.shape:
            raise BadData(f"{path.name}: {name} of {plane.shape} pixels for an image of {data.shape}")
        flags[~(plane > 0) | ~np.isfinite(plane)] |= np.uint16(MaskBit.DEAD)
    flags[~np.isfinite(data)] |= np.uint16(MaskBit.NAN)
    good = flags == 0
    noise = sky_variance(data, ~good) if good.any() else None
    if noise is None:
        raise BadData(f"{path.name}: its mask leaves {good.sum()} pixels, too few to tell the noise by")
    variance = noise + np.maximum(np.nan_to_num(data - np.median(data[good])), 0) / gain
    return Image(data, variance.astype(np.float32), flags), header


def _hdus(path: Path) -> tuple[Hdu, ...]:
    try:
        return read_hdus(path, path.name)
    except BadData as error:
        raise BadData(f"{path.name}: not readable as FITS ({error})") from error


def _first(hdus: Sequence[Hdu], path: Path) -> int:
    for index, hdu in enumerate(hdus):
        if len(hdu.shape) == 2 and hdu.name not in (*PLANES, *WEIGHT_PLANES):
            return index
    raise BadData(f"{path.name}: no image of two axes; expected a science image")


def _header(path: Path) -> fits.Header:
    """Header of the first image; the date in OBSMJD whatever the camera calls it."""
    hdus = _hdus(path)
    first = _first(hdus, path)
    header = image_header(hdus[first]).copy()
    if first:  # date and filter may stand in the primary header alone
        header.extend(hdus[0].header, unique=True, strip=True)
    mjd = start_of_exposure(header)
    if mjd is None:
        header.remove("OBSMJD", ignore_missing=True, remove_all=True)
    elif number(header, "OBSMJD") != mjd:
        header["OBSMJD"] = mjd
    return header


def _pixels(path: Path) -> NDArray:
    hdus = _hdus(path)
    first = _first(hdus, path)
    return np.ascontiguousarray(read_pixels(path, first, hdus[first], path.name), np.float32)


def _mask_plane(path: Path, mask: Path | None) -> NDArray | None:
    if mask is not None:
        hdus = _hdus(mask)
        first = _first(hdus, mask)
        return read_pixels(mask, first, hdus[first], mask.name)
    return next((plane for _, plane in _planes(path, PLANES)), None)


def _planes(path: Path, names: Sequence[str]) -> Iterator[tuple[str, NDArray]]:
    """(row, column) planes of a file that have one of these names, with it."""
    for index, hdu in enumerate(_hdus(path)):
        if hdu.name in names and len(hdu.shape) == 2:
            yield hdu.name, read_pixels(path, index, hdu, path.name)
