"""The archive's own science image of a quadrant, with its mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ztf_in2p3.catalogue.apertures import poisson_variance
from ztf_in2p3.catalogue.stars import wcs_of
from ztf_in2p3.errors import BadData
from ztf_in2p3.image import Image, MaskBit


def science_image(science: Path, mask: Path) -> tuple[Image, fits.Header]:
    """Read `sciimg.fits` and `mskimg.fits`, as they come or RICE-compressed.

    The archive gives no variance: it is that of the counts and of the read noise, with the
    header's GAIN and READNOI.

    Returns
    -------
    image : (row, column), ADU
        Pixels that are not finite have the bit NAN.
    header
        Of the science image.

    Raises
    ------
    BadData
        A file is unreadable or of another kind, the shapes differ, or the header lacks gain, read noise or
        world coordinates.
    """
    data, header = _plane(science, "a science image of floating-point pixels (sciimg.fits)", kind="f")
    bits = read_mask(mask)
    if data.shape != bits.shape:
        raise BadData(
            f"{mask.name}: a mask of {bits.shape} pixels for a science image {science.name} of {data.shape}; "
            "expected the same: fetch both again"
        )
    missing = [card for card in ("GAIN", "READNOI", "OBSMJD") if card not in header]
    if missing:
        raise BadData(f"{science.name}: the header lacks {', '.join(missing)}; fetch the file again")
    wcs_of(header, science.name)
    pixels = np.ascontiguousarray(data, dtype=np.float32)
    flags = bits
    flags[~np.isfinite(pixels)] |= np.uint16(MaskBit.NAN)
    variance = poisson_variance(pixels, float(header["GAIN"]), float(header["READNOI"]))
    return Image(pixels, variance, flags), header


def read_mask(path: Path) -> NDArray[np.uint16]:
    """The archive's mask of a quadrant, (row, column) `ztf_in2p3.image.MaskBit`s.  BadData if it is none."""
    return _plane(path, "a mask of integer pixels (mskimg.fits)", kind="iu")[0].astype(np.uint16)


def _plane(path: Path, expected: str, *, kind: str) -> tuple[NDArray, fits.Header]:
    """The only image of a file."""
    try:
        with fits.open(path, memmap=False) as hdus:
            images = [hdu for hdu in hdus if hdu.is_image and hdu.header.get("NAXIS") == 2]
            if len(images) != 1:
                raise BadData(f"{path.name}: {len(images)} images of two axes; expected {expected}")
            pixels, header = images[0].data, images[0].header.copy()
    except (OSError, TypeError, ValueError) as error:  # what astropy raises on foreign or cut files
        raise BadData(f"{path.name}: not readable as FITS ({error}); expected {expected}: fetch it again") from error
    if pixels.dtype.kind not in kind:
        raise BadData(f"{path.name}: pixels of type {pixels.dtype.name}; expected {expected}")
    return pixels, header
