"""Images of the sky: read from files, or made of a raw frame and its master calibrations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from ztf_in2p3.astrometry import read_wcs
from ztf_in2p3.camera import Camera, camera_named
from ztf_in2p3.catalogue.science_image import read_mask
from ztf_in2p3.detrend.focal_plane import FlatLevel
from ztf_in2p3.detrend.masters import CcdMaster, combine_leds, led_flat, master_bias
from ztf_in2p3.detrend.quadrant import detrend_ccd
from ztf_in2p3.detrend.quadrant_file import read_quadrant
from ztf_in2p3.hdus import read_hdus, read_header, read_primary
from ztf_in2p3.identifiers import N_QUADRANT
from ztf_in2p3.image import Image, is_bad
from ztf_in2p3.recipes import BiasRecipe, FlatRecipe, LedFlatRecipe, QuadrantRecipe
from ztf_in2p3.scene import images

PathLike = str | Path
_QUADRANT = QuadrantRecipe()
_BIAS, _LED_FLAT, _FLAT = BiasRecipe(), LedFlatRecipe(), FlatRecipe()


@dataclass(frozen=True, slots=True, eq=False)
class SkyImage:
    """Pixels with their errors and faults, and the header that says where on the sky they are.

    >>> import ztf_in2p3 as ztf
    >>> image = ztf.example_night().image(1)
    >>> image.data.shape, image.mask.dtype.name
    ((256, 240), 'uint16')
    >>> image
    SkyImage ztf_20190405250000_000601_zr_c03_o_q1_sciimg.fits: 256 x 240 pixels, ...
    """

    image: Image
    header: fits.Header
    name: str

    @property
    def data(self) -> NDArray[np.float32]:
        """(row, column), ADU."""
        return self.image.data

    @property
    def variance(self) -> NDArray[np.float32]:
        """(row, column), ADU^2."""
        return self.image.variance

    @property
    def mask(self) -> NDArray[np.uint16]:
        """(row, column), bits of `MaskBit`."""
        return self.image.mask

    @property
    def bad(self) -> NDArray[np.bool_]:
        """(row, column): pixels that are not to be trusted."""
        return is_bad(self.mask) | ~np.isfinite(self.data) | ~np.isfinite(self.variance)

    @property
    def wcs(self) -> WCS:
        """World coordinates; BadData if the header has none."""
        return read_wcs(self.header, self.name)

    def __repr__(self) -> str:
        rows, columns = self.data.shape
        good = self.data[~self.bad]
        level = f"median {np.median(good):.1f} ADU" if good.size else "no good pixel"
        return f"SkyImage {self.name}: {rows} x {columns} pixels, {level}, {self.bad.mean():.1%} bad"


def read_image(path: PathLike, mask: PathLike | None = None) -> SkyImage:
    """Read a detrended quadrant of ours, an image of the archive, or one of any camera with WCS and GAIN.

    Parameters
    ----------
    mask
        File of the mask, such as the archive's ``mskimg.fits``; not needed where the image has planes of its own.

    Raises
    ------
    BadData
        The file is no image, or lacks what is needed.

    Examples
    --------
    >>> import ztf_in2p3 as ztf
    >>> night = ztf.example_night()
    >>> image = ztf.read_image(night.science[1], night.masks[1])
    >>> bool(100 < np.nanmedian(image.data) < 1000)
    True
    """
    path = Path(path).expanduser()
    if {"SCI", "VAR", "MASK"} <= {hdu.name for hdu in read_hdus(path, path.name)}:
        return SkyImage(*read_quadrant(path), path.name)
    return SkyImage(*images.read_image(path, None if mask is None else Path(mask).expanduser()), path.name)


def read_master(path: PathLike, camera: Camera | str = "ztf") -> CcdMaster:
    """Read a master bias or flat of a CCD.

    Examples
    --------
    >>> import ztf_in2p3 as ztf
    >>> night = ztf.example_night()
    >>> night.bias.write(night.folder / "bias.fits")
    >>> ztf.read_master(night.folder / "bias.fits", camera="tiny")
    CcdMaster of CCD 3: bias of 3 frames, 256 x 240 pixels a quadrant
    """
    return CcdMaster.read(Path(path).expanduser(), _camera(camera))


def make_bias(
    raw: Sequence[PathLike], ccdid: int, camera: Camera | str = "ztf", recipe: BiasRecipe = _BIAS
) -> CcdMaster:
    """Combine raw bias frames of one CCD into a master.

    Examples
    --------
    >>> import ztf_in2p3 as ztf
    >>> night = ztf.example_night()
    >>> bias = ztf.make_bias(night.raw_bias, ccdid=3, camera="tiny")
    >>> bool(abs(np.nanmedian(bias.data[1])) < 200)  # ADU above the electronic offset
    True
    """
    return master_bias([Path(path) for path in raw], _camera(camera), ccdid, recipe)


def make_flat(
    raw: Sequence[PathLike], bias: CcdMaster, camera: Camera | str = "ztf", recipe: LedFlatRecipe = _LED_FLAT
) -> CcdMaster:
    """Combine raw flat frames of one lamp, of the CCD of a bias, into a master of median 1.

    Examples
    --------
    >>> import ztf_in2p3 as ztf
    >>> night = ztf.example_night()
    >>> flat = ztf.make_flat(night.raw_flat, night.bias, camera="tiny")
    >>> bool(0.9 < np.nanmedian(flat.data[1]) < 1.1)
    True
    """
    lamp = led_flat([Path(path) for path in raw], bias, _camera(camera), bias.ccdid, recipe)
    return combine_leds([lamp], _FLAT)


def detrend_raw(
    raw: PathLike,
    bias: CcdMaster | PathLike,
    flat: CcdMaster | PathLike,
    headers: Mapping[int, fits.Header | PathLike] | None = None,
    masks: Mapping[int, PathLike] | None = None,
    *,
    level: float | None = None,
    camera: Camera | str = "ztf",
    recipe: QuadrantRecipe = _QUADRANT,
) -> dict[int, SkyImage]:
    """Detrend one raw file with given masters; no store is needed.

    Parameters
    ----------
    headers
        By quadrant (1 to 4): science header, or file that has it.  It brings the world coordinates; only its quadrants
        are detrended.  Without any, all four are, with the header of the raw file.
    masks
        By quadrant: file of the archive's mask.
    level
        Common level of the flats over the focal plane, ADU; that of the given flat alone if not given.

    Returns
    -------
    Images by quadrant.

    Raises
    ------
    BadData
        The raw file, a master or a mask does not fit.

    Examples
    --------
    >>> import ztf_in2p3 as ztf
    >>> night = ztf.example_night()
    >>> images = ztf.detrend_raw(night.raw[0], night.bias, night.flat, night.science, night.masks, camera="tiny")
    >>> sorted(images)
    [1, 2, 3, 4]
    >>> levels = [float(np.nanmedian(image.data)) for image in images.values()]
    >>> max(levels) / min(levels) < 1.02  # one sky, whichever amplifier it was read with
    True
    """
    mosaic, path = _camera(camera), Path(raw).expanduser()
    master_bias = bias if isinstance(bias, CcdMaster) else read_master(bias, mosaic)
    master_flat = flat if isinstance(flat, CcdMaster) else read_master(flat, mosaic)
    known: Mapping[int, fits.Header | PathLike] = headers or dict.fromkeys(range(1, N_QUADRANT + 1), read_primary(path))
    flat_level = FlatLevel.of(master_flat)
    images = detrend_ccd(
        path,
        master_bias,
        master_flat,
        flat_level.level * flat_level.median if level is None else level,
        {qid: head if isinstance(head, fits.Header) else read_header(Path(head)) for qid, head in known.items()},
        {qid: read_mask(Path(mask)) for qid, mask in (masks or {}).items()},
        mosaic,
        recipe,
    )
    return {qid: SkyImage(image, header, f"{path.name} q{qid}") for qid, (image, header) in images.items()}


def _camera(camera: Camera | str) -> Camera:
    return camera_named(camera) if isinstance(camera, str) else camera
