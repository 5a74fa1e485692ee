"""The archive's own science image of a quadrant, with its mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ztf_in2p3.astrometry import read_wcs
from ztf_in2p3.cards import required_number
from ztf_in2p3.catalogue.apertures import poisson_variance
from ztf_in2p3.errors import BadData
from ztf_in2p3.hdu import image_header
from ztf_in2p3.hdus import read_hdus, read_pixels
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
        Header of the science image.

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
    gain = required_number(header, "GAIN", science.name, "electrons per ADU", positive=True)
    read_noise = required_number(header, "READNOI", science.name, "electrons", positive=True)
    required_number(header, "OBSMJD", science.name, "the date (MJD)")
    read_wcs(header, science.name)
    pixels = np.ascontiguousarray(data, dtype=np.float32)
    flags = bits
    flags[~np.isfinite(pixels)] |= np.uint16(MaskBit.NAN)
    variance = poisson_variance(pixels, gain, read_noise)
    return Image(pixels, variance, flags), header


def read_mask(path: Path) -> NDArray[np.uint16]:
    """The archive's mask of a quadrant, (row, column) `ztf_in2p3.image.MaskBit`s.  BadData if it is none."""
    return _plane(path, "a mask of integer pixels (mskimg.fits)", kind="iu")[0].astype(np.uint16)


def _plane(path: Path, expected: str, *, kind: str) -> tuple[NDArray, fits.Header]:
    """The only image of a file."""
    try:
        hdus = read_hdus(path, path.name)
    except (BadData, FileNotFoundError) as error:
        raise BadData(f"{path.name}: not readable as FITS ({error}); expected {expected}: fetch it again") from error
    images = [index for index, hdu in enumerate(hdus) if len(hdu.shape) == 2]
    if len(images) != 1:
        raise BadData(f"{path.name}: {len(images)} images of two axes; expected {expected}")
    pixels = read_pixels(path, images[0], hdus[images[0]], path.name)
    if pixels.dtype.kind not in kind:
        raise BadData(f"{path.name}: pixels of type {pixels.dtype.name}; expected {expected}")
    return pixels, image_header(hdus[images[0]])
